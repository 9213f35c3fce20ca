"""Records of calls, the durable queue of those that nobody waits for, and functions' logs."""

from wherry.calls.logline import LogLine
from wherry.calls.logs import FunctionLogs
from wherry.calls.model import (
    Callback,
    CallRecord,
    QueuedRequest,
    QueueLimits,
    QueueStats,
)
from wherry.calls.retrying import Backoff, RetryPolicy
from wherry.calls.store import CallStore, Stored
from wherry.calls.workers import QueueWorkers

__all__ = [
    "Backoff",
    "CallRecord",
    "CallStore",
    "Callback",
    "FunctionLogs",
    "LogLine",
    "QueueLimits",
    "QueueStats",
    "QueueWorkers",
    "QueuedRequest",
    "RetryPolicy",
    "Stored",
]
