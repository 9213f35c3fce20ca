"""Everything that can go wrong on the way to an engine, told in our own errors: one place."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import h11

from wherry.errors import EngineError, EngineUnavailable

TRANSPORT_ERRORS = (OSError, ssl.SSLError, h11.ProtocolError, EOFError)
"""What sockets, TLS, child processes and the HTTP parser raise; TimeoutError is an OSError."""


class Refused(EngineError):
    """The engine answered with an error of its own."""

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        """HTTP status."""
        self.reason = reason
        """The engine's own words."""


@contextmanager
def failing(operation: str, *, address: object) -> Iterator[None]:
    """Raise EngineError, naming the operation and the address, for what the transport raises."""
    try:
        yield
    except TRANSPORT_ERRORS as error:
        message = f"engine {address}: {operation} failed: {describe(error)}"
        raise EngineError(message) from error


@contextmanager
def unreachable(address: object) -> Iterator[None]:
    """Raise EngineUnavailable, naming the address, for what connecting raises."""
    try:
        yield
    except TRANSPORT_ERRORS as error:
        message = f"engine {address} cannot be reached: {describe(error)}"
        raise EngineUnavailable(message) from error


def describe(error: BaseException) -> str:
    """Say what happened, also for errors without words of their own."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, ConnectionResetError | BrokenPipeError | h11.RemoteProtocolError):
        return f"the connection was cut ({error})" if str(error) else "the connection was cut"
    return str(error) or type(error).__name__
