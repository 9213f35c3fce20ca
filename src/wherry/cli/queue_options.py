"""What ``wherry serve`` is told about queued calls: how many, how often, and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.calls.model import QueueLimits
    from wherry.calls.retrying import RetryPolicy
    from wherry.cli.serve_values import Values


def read_limits(values: Values) -> QueueLimits:
    """Return what is taken in and kept; raises :class:`wherry.errors.UsageError`."""
    from wherry.calls.model import QueueLimits

    usual = QueueLimits()
    return QueueLimits(
        max_body=values.size("queue_max_body", usual.max_body),
        max_result=values.size("max_result", usual.max_result),
        max_depth=values.count("queue_max_calls", usual.max_depth),
        max_bytes=values.size("queue_max_bytes", usual.max_bytes),
        keep_results=values.seconds("keep_results", usual.keep_results, least=0.0),
        keep_result_bytes=values.size("keep_result_bytes", usual.keep_result_bytes),
        keep_records=values.seconds("keep_records", usual.keep_records, least=0.0),
        keep_dead=values.seconds("keep_dead", usual.keep_dead, least=0.0),
        max_records=values.count("max_records", usual.max_records),
        callback_hosts=values.texts("callback_host"),
    )


def read_policy(values: Values) -> RetryPolicy:
    """Return what is tried again; raises :class:`wherry.errors.UsageError`."""
    from wherry.calls.retrying import Backoff, RetryPolicy

    usual = RetryPolicy()
    return RetryPolicy(
        retries=values.count("retries", usual.retries, least=0),
        backoff=Backoff(
            first=values.seconds("retry_delay", usual.backoff.first),
            most=values.seconds("retry_max_delay", usual.backoff.most),
        ),
        callback_attempts=values.count("callback_attempts", usual.callback_attempts),
    )
