"""TLS over a duplex stream, with an end of its own for each direction.

The transports of asyncio cannot end the sending direction of TLS alone (``can_write_eof()`` is
False), and a half-close of the TCP connection below is no clean end to the engine. So TLS runs
on two memory buffers here, and the end of our direction is its ``close_notify``.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from wherry.models import CHUNK

if TYPE_CHECKING:
    from wherry.engines.docker.address import Tls
    from wherry.engines.docker.duplex import Socket


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return what to trust and who we are; raises OSError or ssl.SSLError for unusable files."""
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert and tls.key:
        context.load_cert_chain(tls.cert, tls.key)
    return context


class TlsDuplex:
    """One TLS connection."""

    def __init__(self, below: Socket, *, context: ssl.SSLContext, host: str) -> None:
        self._below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._decrypted = bytearray()
        self._ended = False

    async def handshake(self) -> None:
        """Agree with the peer; raises ssl.SSLError when it is not who it should be."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._receive()
            except ssl.SSLError:
                self._flush()  # the alert tells the peer why
                raise
            else:
                self._flush()
                return

    async def read(self) -> bytes:
        """Return what is there; raises ssl.SSLError for an end without ``close_notify``."""
        while not self._decrypted:
            try:
                return self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                await self._receive()
            except ssl.SSLZeroReturnError:
                return b""
        data = bytes(self._decrypted[:CHUNK])
        del self._decrypted[:CHUNK]
        return data

    async def write(self, data: bytes) -> None:
        """Send, and wait while the peer does not read."""
        for start in range(0, len(data), CHUNK):
            self._tls.write(data[start : start + CHUNK])
            await self._below.write(self._outgoing.read())

    async def end(self) -> None:
        """Send ``close_notify``; reading goes on."""
        if self._ended:
            return
        self._ended = True
        self._drain()
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:  # the peer's own close_notify comes when it is done
            pass
        except ssl.SSLError as error:
            raise ConnectionResetError(f"TLS could not be ended: {error}") from error
        await self._below.write(self._outgoing.read())

    def _drain(self) -> None:
        """Decrypt what is here: ``unwrap`` would take it for an error, and lose it."""
        try:
            while data := self._tls.read(CHUNK):
                self._decrypted += data
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass

    async def _receive(self) -> None:
        self._flush()
        data = await self._below.read()
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._below.send(data)

    def is_stale(self) -> bool:
        """Whether the peer has closed."""
        return self._below.is_stale()

    def close(self) -> None:
        """Drop both directions at once."""
        self._below.close()

    async def wait_closed(self) -> None:
        """Wait for the transport."""
        await self._below.wait_closed()
