"""What the queue takes in, and what it refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wherry.errors import Busy, TooLarge, UsageError
from wherry.units import format_size

if TYPE_CHECKING:
    from wherry.calls.model import QueuedRequest, QueueLimits
    from wherry.calls.queue import Now

_TRUSTED = 1.0
"""Seconds for which the size of the queue is not counted anew, but only added to."""


class Room:
    """The limits of the queue, in the words of those who meet them."""

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._depth = 0
        self._bytes = 0
        self._counted = float("-inf")
        self._arriving = 0

    @contextmanager
    def arrival(self) -> Iterator[Callable[[int], None]]:
        """Count a body that is on its way, by what the block is given; it counts so long.

        That raises :class:`Busy` when bodies that wait and those on their way are too much.
        """
        size = 0

        def came(more: int) -> None:
            nonlocal size
            size += more
            self._arriving += more
            if self._bytes + self._arriving > self._limits.max_bytes:
                raise self._full()

        try:
            yield came
        finally:
            self._arriving -= size

    def check_size(self, size: int, request: QueuedRequest, *, max_body: int | None) -> None:
        """Raise :class:`TooLarge` when a body of so many bytes is too large."""
        if max_body is not None and size > min(max_body, self._limits.max_body):
            most, who = min(max_body, self._limits.max_body), f"function {request.qualified!r}"
        else:
            most, who = self._limits.max_body, "the queue of this server"
        if size > most:
            raise TooLarge(
                f"the request's body is larger than {format_size(most)} ({most} bytes), which is"
                f" the most that {who} takes"
            )

    def check_queue(self, db: sqlite3.Connection, now: Now, *, size: int) -> None:
        """Raise :class:`Busy` when there is no room for one more call of so many bytes."""
        if not 0 <= now.steady - self._counted < _TRUSTED:
            self._depth, self._bytes = db.execute(
                "SELECT count(*), coalesce(sum(stdin_bytes), 0) FROM calls WHERE state = 'queued'"
            ).fetchone()
            self._counted = now.steady
        limits = self._limits
        if self._depth >= limits.max_depth:
            raise Busy(f"the queue is full: {limits.max_depth} calls wait, which is the most")
        if self._bytes + size > limits.max_bytes:
            raise self._full()
        self._depth += 1
        self._bytes += size

    def _full(self) -> Busy:
        most = format_size(self._limits.max_bytes)
        return Busy(f"the queue is full: the bodies of calls that wait may be {most} in all")

    def check_callback(self, url: str | None) -> None:
        """Raise :class:`UsageError` when a result cannot be told there."""
        if url is None:
            return
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise UsageError(f"X-Callback-Url: {url!r:.200} is no URL: {error}") from error
        readable = url.isprintable() and " " not in url
        if parts.scheme not in {"http", "https"} or not host or port == 0 or not readable:
            raise UsageError(
                f"X-Callback-Url: {url!r:.200} must be an address such as https://example.org/path"
            )
        hosts = self._limits.callback_hosts
        if hosts and not any(fnmatchcase(host, pattern.lower()) for pattern in hosts):
            raise UsageError(
                f"X-Callback-Url: {host!r} may not be called; this server calls {', '.join(hosts)}"
            )
