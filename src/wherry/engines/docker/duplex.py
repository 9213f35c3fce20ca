"""Byte streams whose two directions end on their own: sockets, and child processes' pipes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Protocol

from wherry.models import CHUNK
from wherry.streams import Tail

if TYPE_CHECKING:
    from wherry.engines.docker.address import Address

_KEEPALIVE_IDLE = 30
"""Seconds. A half-closed connection through a Swarm VIP is dropped after 60 (moby #29655)."""
_UNANSWERED = 60
"""Seconds after which a peer that acknowledges nothing is taken for gone."""
_REAP_SECONDS = 5.0
_WORDS_SECONDS = 0.5


class Duplex(Protocol):
    """Both directions of one connection."""

    async def read(self) -> bytes:
        """Return what is there, at most 64 KiB; empty is the end. Raises OSError when cut."""
        ...

    async def write(self, data: bytes) -> None:
        """Send, and wait while the peer does not read. Raises OSError when cut."""
        ...

    async def end(self) -> None:
        """End our direction: the peer reads to the end, and we go on reading."""
        ...

    def is_stale(self) -> bool:
        """Whether an idle connection was closed by the peer."""
        ...

    def close(self) -> None:
        """Drop both directions at once. Idempotent."""
        ...

    async def wait_closed(self) -> None:
        """Wait until everything behind it has ended."""
        ...


class Socket:
    """A Unix or TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        """Return what is there; empty is the end."""
        return await self._reader.read(CHUNK)

    async def write(self, data: bytes) -> None:
        """Send, and wait while the peer does not read."""
        self.send(data)
        await self._writer.drain()

    def send(self, data: bytes) -> None:
        """Hand over without waiting."""
        if self._writer.transport.is_closing():
            raise BrokenPipeError("the connection is closed")
        self._writer.write(data)

    async def end(self) -> None:
        """Half-close."""
        if not self._writer.transport.is_closing():
            self._writer.write_eof()

    def is_closing(self) -> bool:
        """Whether nothing more can be sent."""
        return self._writer.transport.is_closing()

    def is_stale(self) -> bool:
        """Whether the peer has closed."""
        return self.is_closing() or self._reader.at_eof()

    def close(self) -> None:
        """Drop it at once: what has not been sent is not wanted any more."""
        self._writer.transport.abort()

    async def wait_closed(self) -> None:
        """Wait for the transport."""
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Child:
    """A child process that passes its stdin and stdout on, such as ``ssh``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin
        assert process.stdout
        self._process = process
        self._pipes = Socket(process.stdout, process.stdin)
        self._said = Tail(4096)
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process.stderr
        while data := await self._process.stderr.read(CHUNK):
            self._said.add(data)

    async def read(self) -> bytes:
        """Return what is there; raises OSError with the child's own words when it failed."""
        if data := await self._pipes.read():
            return data
        await self._ended()
        if self._process.returncode != 0:
            raise ConnectionResetError(self._words())
        return b""

    def _words(self) -> str:
        words = self._said.value().decode(errors="replace").strip()
        return f"ssh ended with exit status {self._process.returncode}: {words}"

    async def write(self, data: bytes) -> None:
        """Send, and wait while the peer does not read."""
        try:
            await self._pipes.write(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            await self._ended()
            raise BrokenPipeError(self._words()) from error

    async def end(self) -> None:
        """Close the child's stdin, which it passes on as a half-close."""
        await self._pipes.end()

    def is_stale(self) -> bool:
        """Whether the child has ended."""
        return self._process.returncode is not None or self._pipes.is_stale()

    def close(self) -> None:
        """End the child."""
        if not self._pipes.is_closing():
            self._pipes.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def wait_closed(self) -> None:
        """Reap the child, and close our ends of its pipes, which asyncio has no public way to."""
        await self._ended()
        self._process._transport.close()  # type: ignore[attr-defined] # noqa: SLF001

    async def _ended(self) -> None:
        """Wait for the end; a connection that ssh shares may keep its stderr open beyond that."""
        waiting = asyncio.ensure_future(self._process.wait())
        await asyncio.wait([waiting], timeout=_REAP_SECONDS)
        await asyncio.wait([self._listening], timeout=_WORDS_SECONDS)
        waiting.cancel()
        self._listening.cancel()


async def dial_unix(path: str) -> Socket:
    """Connect to a Unix socket."""
    return Socket(*await asyncio.open_unix_connection(path, limit=CHUNK))


async def dial_tcp(host: str, port: int) -> Socket:
    """Connect to a TCP port; a peer that vanishes is noticed within about a minute."""
    reader, writer = await asyncio.open_connection(host, port, limit=CHUNK)
    raw: socket.socket = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", _UNANSWERED * 1000),
    ):
        if hasattr(socket, name):
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return Socket(reader, writer)


async def dial_ssh(address: Address) -> Child:
    """Connect as the docker command does: ``docker system dial-stdio`` on the other side."""
    port = ["-p", str(address.port)] if address.port else []
    options = ["-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-T"]
    command = ["ssh", *options, *port, "--", address.host, "docker", "system", "dial-stdio"]
    return Child(
        await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=CHUNK,
            start_new_session=True,  # Ctrl-C at a terminal is ours to handle, not ssh's
        )
    )
