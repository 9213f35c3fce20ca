"""The server's side of TLS, with an end of its own for each direction.

asyncio's own TLS cannot end one direction alone, and ``docker exec`` does that at once: TLS runs
on two memory buffers here, and the end of our direction is its ``close_notify``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.errors import UsageError
from wherry.models import CHUNK
from wherry.proxy.front.request import Peer

if TYPE_CHECKING:
    from wherry.proxy.wires import SocketWire


def server_context(*, ca: Path, cert: Path, key: Path) -> ssl.SSLContext:
    """Return who we are, and who may come: only clients with a certificate of ``ca``.

    Raises :class:`UsageError` for files that cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_verify_locations(ca)
        context.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"{ca}, {cert} and {key} are no authority, certificate and key: {error}"
        ) from error
    return context


class TlsWire:
    """One TLS connection of a client; a :class:`~wherry.engines.docker.duplex.Duplex`."""

    def __init__(self, below: SocketWire, *, context: ssl.SSLContext) -> None:
        """Speak TLS on a connection; :meth:`handshake` comes first."""
        self.below = below
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._decrypted = bytearray()
        self._sending = asyncio.Lock()
        self._ended = False

    async def handshake(self) -> Peer:
        """Return who the client is; raises ssl.SSLError, or OSError when it is cut."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._receive()
            except ssl.SSLError:
                await self._flush()  # the alert tells the client why
                raise
            else:
                await self._flush()
                return self._peer()

    def _peer(self) -> Peer:
        encoded = self._tls.getpeercert(binary_form=True)
        assert encoded, "a client without a certificate does not get here"
        subject: Any = (self._tls.getpeercert() or {}).get("subject", ())
        names = [value for part in subject for name, value in part if name == "commonName"]
        return Peer("tls", certificate=hashlib.sha256(encoded).hexdigest(), subject="".join(names))

    async def read(self) -> bytes:
        """Return what is there; empty is the client's ``close_notify``, or the end below it.

        Some clients end their direction without ``close_notify``, and the engine takes that for
        an end too. Raises OSError for what is no TLS.
        """
        while not self._decrypted:
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()  # answers of the protocol's own
                await self._receive()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            else:
                return data
        piece = bytes(self._decrypted[:CHUNK])
        del self._decrypted[:CHUNK]
        return piece

    async def write(self, data: bytes) -> None:
        """Send, and wait while the client does not read. Raises OSError when cut."""
        for start in range(0, len(data), CHUNK):
            self._tls.write(data[start : start + CHUNK])
            await self._flush()

    async def end(self) -> None:
        """Send ``close_notify``; reading goes on. Idempotent."""
        if self._ended:
            return
        self._ended = True
        self._drain()
        # The client's own close_notify comes when it is done, or never.
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLEOFError):
            self._tls.unwrap()
        await self._flush()

    def _drain(self) -> None:
        """Decrypt what is here: ``unwrap`` would take it for an error, and lose it."""
        try:
            while data := self._tls.read(CHUNK):
                self._decrypted += data
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass

    async def _receive(self) -> None:
        if data := await self.below.read():
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        """Send what TLS has written, in its order, whoever wrote it.

        Nothing is waited for where nothing is to be sent: who reads must not wait for a client
        that does not.
        """
        if self._outgoing.pending:
            async with self._sending:
                if data := self._outgoing.read():
                    await self.below.write(data)

    def is_stale(self) -> bool:
        """Whether the client has closed."""
        return self.below.is_stale()

    def cut(self) -> None:
        """End both directions at once: whoever reads or writes wakes up."""
        self.below.cut()

    def close(self) -> None:
        """Close; nobody may be reading or writing. Idempotent."""
        self.below.close()

    async def wait_closed(self) -> None:
        """Return: there is nothing behind a socket."""
