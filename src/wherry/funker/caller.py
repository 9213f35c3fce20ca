"""Calling a function of the network by its name."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Any, Final

from wherry.errors import TooLarge, UsageError
from wherry.funker import protocol
from wherry.funker.exchange import read_to_end
from wherry.funker.failures import FunkerUnanswered, FunkerUnreachable

_NONE: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Calls functions within limits of its own; :func:`call` and :func:`acall` have the usual."""

    port: int = protocol.PORT
    """Where a name without a port is called."""
    connect_timeout: float = 10.0
    """Seconds until the function has accepted the call."""
    timeout: float | None = 300.0
    """Seconds for the whole call; None: as long as it takes."""
    max_bytes: int = protocol.LARGEST
    """The largest document that is sent or taken."""

    def call(self, function: str, document: object = _NONE, /, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Call a function and return its answer; see :meth:`acall`.

        Raises :class:`UsageError` where an event loop runs.
        """
        if asyncio._get_running_loop() is not None:  # noqa: SLF001 - the one that does not raise
            raise UsageError("funker.call: an event loop runs here; use `await funker.acall(…)`")
        return asyncio.run(self.acall(function, document, **arguments))

    async def acall(self, function: str, document: object = _NONE, /, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        """Call a function with arguments by name, or with one document of any kind.

        ``function`` is a host's name, or HOST:PORT. Raises :class:`FunkerUnreachable` when
        nobody accepts the call, :class:`FunkerUnanswered` when the time or the connection ended
        without a whole answer, :class:`FunkerFailed` with what the function says,
        :class:`UsageError` for what cannot be sent.
        """
        if document is not _NONE and arguments:
            raise UsageError("funker.call: give one document, or arguments by name")
        value = arguments if document is _NONE else document
        data = protocol.encode(value, what=f"the call of {function!r}")
        if len(data) > self.max_bytes:
            raise TooLarge(f"the call of {function!r} has {len(data)} bytes of JSON, more than "
                           f"{self.max_bytes}")  # fmt: skip
        host, port = self._address(function)
        where = f"function {function!r}"
        try:
            async with asyncio.timeout(self.timeout):
                with await self._connected(host, port=port, where=where) as connection:
                    answer = await self._exchange(connection, data, where=where)
        except TimeoutError as error:
            raise FunkerUnanswered(f"{where} did not answer within {self.timeout:g} s") from error
        return protocol.answer(answer, where=where)

    def _address(self, function: str) -> tuple[str, int]:
        host, colon, port = function.rpartition(":")
        if not colon or function.endswith("]") or (":" in host and "[" not in host):
            host, port = function, str(self.port)
        if not host.strip("[]") or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise UsageError(f"function {function!r} is no name of a host, nor HOST:PORT")
        return host.strip("[]"), int(port)

    async def _connected(self, host: str, *, port: int, where: str) -> socket.socket:
        """Connect to the first of the name's addresses that accepts."""
        loop = asyncio.get_running_loop()
        reason: OSError | None = None
        try:
            async with asyncio.timeout(self.connect_timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                for family, kind, number, _, address in found:
                    connection = socket.socket(family, kind | socket.SOCK_NONBLOCK, number)
                    try:
                        protocol.keep_alive(connection)
                        await loop.sock_connect(connection, address)
                    except OSError as error:
                        connection.close()
                        reason = error
                    except BaseException:
                        connection.close()
                        raise
                    else:
                        return connection
        except TimeoutError as error:
            raise FunkerUnreachable(
                f"{where} did not accept the call within {self.connect_timeout:g} s"
            ) from error
        except OSError as error:
            reason = error
        raise FunkerUnreachable(f"{where} cannot be reached on port {port}: {reason}") from reason

    async def _exchange(self, connection: socket.socket, data: bytes, *, where: str) -> bytes:
        loop = asyncio.get_running_loop()
        try:
            try:
                await loop.sock_sendall(connection, data)
                connection.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it may have answered without reading everything
            return await read_to_end(connection, most=self.max_bytes, what=f"the answer of {where}")
        except TooLarge as error:
            raise FunkerUnanswered(str(error)) from error
        except OSError as error:
            raise FunkerUnanswered(f"{where} ended the connection: {error}") from error


_USUAL = Caller()


def call(function: str, document: object = _NONE, /, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
    """Call a function and return its answer: ``call("add", a=1, b=2)``; see :meth:`Caller.call`."""
    return _USUAL.call(function, document, **arguments)


async def acall(function: str, document: object = _NONE, /, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
    """Call a function from a coroutine; see :meth:`Caller.acall`."""
    return await _USUAL.acall(function, document, **arguments)
