"""Deployed functions on Funker ports: whoever connects has one call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from wherry.errors import TooLarge, Unsupported, WherryError
from wherry.funker import protocol
from wherry.models import CHUNK, Exit
from wherry.service.outcome import describe_timeout

if TYPE_CHECKING:
    from wherry.service.live import LiveCall
    from wherry.service.service import FunctionService

_SILENCE = 60.0
"""Seconds until the first byte of a call."""
_log = logging.getLogger(__name__)


class FunkerPort:
    """One function on one or more sockets that listen already.

    What the function writes is the answer: as it is where it is JSON, as a text where it is
    not, ``null`` where it is nothing. A call that fails is answered with an error that says why.
    """

    def __init__(
        self,
        service: FunctionService,
        name: str,
        *,
        max_bytes: int = protocol.LARGEST,
    ) -> None:
        """``name`` is looked up for each call, so a function may be deployed later or anew."""
        self.name = name
        self._service = service
        self._max_bytes = max_bytes
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, listener: socket.socket) -> None:
        """Take calls from a socket."""
        self._servers.append(await asyncio.start_server(self._accept, sock=listener, limit=CHUNK))

    async def aclose(self, *, grace: float, at_once: asyncio.Event | None = None) -> None:
        """Take no more calls, let those that run end, then end them; ``at_once`` ends the grace."""
        for server in self._servers:
            server.close()
        hurry = asyncio.create_task((at_once or asyncio.Event()).wait())
        ending = asyncio.ensure_future(_ended(self._tasks))
        try:
            await asyncio.wait({ending, hurry}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        finally:
            hurry.cancel()
            for task in self._tasks:
                task.cancel()
            await asyncio.wait([ending])

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol.keep_alive(writer.get_extra_info("socket"))
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):  # the caller has left
                async with asyncio.timeout(_SILENCE):
                    first = await reader.read(CHUNK)
                if first:  # else it was a probe of the port
                    writer.write(await self._answer(first, reader))
                    await writer.drain()
        finally:
            writer.close()

    async def _answer(self, first: bytes, reader: asyncio.StreamReader) -> bytes:
        try:
            deployed = self._service.find(self.name)
            if (mode := deployed.settings.mode) != "stdio":
                raise Unsupported(
                    f"function {self.name!r} speaks {mode}, and cannot be called here"
                )
            stdin = self._document(first, reader)
            async with self._service.call(deployed, stdin, trigger="funker") as live:
                return await self._collect(live)
        except WherryError as error:
            return protocol.failure(type(error).__name__, str(error))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - one call's failure must not be the port's
            _log.exception("a Funker call failed", extra={"function": self.name})
            return protocol.failure("InternalError", type(error).__name__)

    async def _document(self, first: bytes, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        seen, chunk = 0, first
        while chunk:
            seen += len(chunk)
            if seen > self._max_bytes:
                raise TooLarge(f"the call is larger than {self._max_bytes} bytes")
            yield chunk
            chunk = await reader.read(CHUNK)

    async def _collect(self, live: LiveCall) -> bytes:
        found = bytearray()
        async for event in live:
            if isinstance(event, Exit):
                return _answer_of(live, event, bytes(found))
            if event.stream == "stdout":
                found += event.data
                if len(found) > self._max_bytes:
                    raise TooLarge(f"the answer is larger than {self._max_bytes} bytes")
        return protocol.failure("EngineError", "the call ended without an exit")


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


def _answer_of(live: LiveCall, ended: Exit, found: bytes) -> bytes:
    call = live.call
    if ended.reason == "timeout":
        return protocol.failure("Timeout", describe_timeout(call))
    if not ended.ok:
        stderr = bytes(call.stderr_tail[-1000:]).decode(errors="replace").strip()
        said = f"function {call.deployed.name!r} {ended.describe()}"
        return protocol.failure("FunctionError", f"{said}: {stderr}" if stderr else said)
    try:
        protocol.decode(found or b"null")
    except ValueError:
        return json.dumps(found.decode(errors="replace"), ensure_ascii=False).encode()
    return found or b"null"
