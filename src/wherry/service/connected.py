"""A request to a function that is a server, while it is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.service.live import conclude

if TYPE_CHECKING:
    import socket

    from wherry.service.call import Call, Observer


class ConnectedCall:
    """A call that a kept container answers, on a connection of its own."""

    def __init__(
        self, call: Call, connection: socket.socket, *, deadline: float, observer: Observer
    ) -> None:
        self.call = call
        self.connection = connection
        """Non-blocking; closed with the call."""
        self.deadline = deadline
        """Of the event loop's clock: when the call's time is over."""
        self._observer = observer

    def finish(self, status: int | None = None) -> None:
        """Say that the call is over, and with which status it is answered: it goes on record."""
        if self.call.status is None:
            self.call.status = status
        conclude(self.call, self._observer)
