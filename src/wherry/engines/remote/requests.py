"""The short exchanges with a server: each a connection, a question and an answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wherry.engines.remote.link import failing
from wherry.engines.remote.protocol import MEDIA, ROOT, frame, read_error
from wherry.errors import Busy, EngineError, EngineUnavailable, WherryError

if TYPE_CHECKING:
    from wherry.engines.remote.address import Address
    from wherry.engines.remote.link import Dialer, Link
    from wherry.engines.remote.protocol import Kind

_SHORT = 60.0
_PREPARING = 3600.0
_ANSWER_BYTES = 64 * 1024


class Requests:
    """What is asked of one server.

    Every method raises EngineUnavailable when it cannot be reached or takes no such token, Busy
    when it has no capacity, EngineError when the exchange is cut, and what the server says.
    """

    def __init__(self, dialer: Dialer, *, address: Address) -> None:
        self._dialer = dialer
        self.address = address

    async def prepare(self, document: bytes) -> None:
        """Have a function prepared, which may pull its image."""
        await self._exchange("POST", "prepare", body=document, seconds=_PREPARING)

    async def kill(self, call: str, *, signal: int) -> None:
        """Send a signal to a call's program; harmless when the call has ended."""
        await self._exchange("POST", f"calls/{call}/kill?signal={int(signal)}", absent=True)

    async def leave(self, call: str) -> None:
        """End a call, and wait until its container is removed."""
        await self._exchange("DELETE", f"calls/{call}", absent=True)

    async def settled(self) -> None:
        """Wait until the containers of calls that have ended are removed."""
        await self._exchange("POST", "settled")

    async def call(self, document: bytes) -> Link:
        """Begin a call; return its connection, on which the server has said that it knows of it."""
        link = await self._dialer.dial()
        try:
            with failing("POST call", address=self.address):
                await link.ask("POST", f"{ROOT}call", body=None, media=MEDIA)
                kind: Kind = b"C"
                await link.write(frame(kind, document))
                async with asyncio.timeout(_SHORT):
                    status = await link.head()
            if status != 200:
                raise await self._refused(link, status)
        except BaseException:
            link.close()
            await link.wait_closed()
            raise
        return link

    async def _exchange(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        seconds: float = _SHORT,
        absent: bool = False,
    ) -> None:
        """Exchange; with ``absent`` it is no error that there is no such call."""
        link = await self._dialer.dial()
        try:
            with failing(f"{method} {target}", address=self.address):
                async with asyncio.timeout(seconds):
                    await link.ask(method, ROOT + target, body=body, media="application/json")
                    status = await link.head()
            if status >= 300 and not (absent and status == 404):
                raise await self._refused(link, status)
        finally:
            link.close()
            await link.wait_closed()

    async def _refused(self, link: Link, status: int) -> WherryError:
        with failing("reading a refusal", address=self.address):
            async with asyncio.timeout(_SHORT):
                said = await link.rest(most=_ANSWER_BYTES)
        where = f"engine {self.address}"
        match status:
            case 401:
                return EngineUnavailable(f"{where} does not take this token")
            case 404 if not said.startswith(b"{"):
                return EngineUnavailable(f"{where} is no server of `wherry remote`")
            case 429 | 503:
                return Busy(f"{where} has no capacity: {_words(said)}")
        error = read_error(said, where=where)
        return error if isinstance(error, WherryError) else EngineError(str(error))


def _words(said: bytes) -> str:
    return str(read_error(said, where="it says"))
