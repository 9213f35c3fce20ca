"""What ends an exchange early, and whose fault it is."""

from __future__ import annotations

from wherry.errors import EngineError, UsageError


class Refusal(UsageError):
    """A request is answered with a status and ``{"message": …}``, as the engine refuses things.

    A handler may raise it as long as no answer has begun.
    """

    def __init__(self, status: int, message: str, *, close: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.close = close
        """Whether nothing that still comes on this connection can be trusted."""


class BodyTooLarge(Refusal):
    """A body is larger than is taken; answered 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the request body is larger than {limit} bytes", close=True)


class ClientLeft(EngineError):
    """The client is gone, or too slow: there is nobody to answer to any more."""
