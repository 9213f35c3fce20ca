"""What all connections of one server share."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from wherry.server.http1.connection import Connection
    from wherry.server.http1.departures import Departures


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server waits for clients, in seconds, and how much it lets them say."""

    headers: float = 10.0
    """For all of a request's headers."""
    idle: float = 75.0
    """For the next request on a connection."""
    stall: float = 300.0
    """For a client to take any of an answer."""
    linger: float = 5.0
    """For a client to stop sending what nobody reads any more."""
    header_bytes: int = 64 * 1024


@dataclass(slots=True, kw_only=True)
class Host:
    """One server, as its connections know it."""

    app: ASGIApp
    departures: Departures
    patience: Patience = field(default_factory=Patience)
    most: int = 32768
    """Connections at one time. Who comes then is told so, which costs less than not to accept."""
    connections: set[Connection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    stopping: bool = False
    _date: bytes = b""
    _second: int = 0

    def date(self) -> bytes:
        """Return the Date header's line of this second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._date = b"date: " + formatdate(now, usegmt=True).encode() + b"\r\n"
        return self._date
