"""Opening connections to one address, each within a time limit."""

from __future__ import annotations

import asyncio
import ssl
from functools import cached_property
from typing import TYPE_CHECKING

from wherry.engines.docker.duplex import Duplex, Socket, dial_ssh, dial_tcp, dial_unix
from wherry.engines.docker.tls import TlsDuplex, make_context

if TYPE_CHECKING:
    from wherry.engines.docker.address import Address

_CONNECT_SECONDS = 15.0


class Dialer:
    """Opens connections; certificates are read once."""

    def __init__(self, address: Address) -> None:
        self._address = address

    async def dial(self) -> Duplex:
        """Open a connection; raises OSError or ssl.SSLError."""
        address = self._address
        async with asyncio.timeout(_CONNECT_SECONDS):
            if address.scheme == "unix":
                return await dial_unix(address.path)
            if address.scheme == "ssh":
                return await dial_ssh(address)
            below = await dial_tcp(address.host, address.port or 0)
            return await self._secure(below) if address.tls else below

    async def _secure(self, below: Socket) -> Duplex:
        try:
            duplex = TlsDuplex(below, context=self._context, host=self._address.host)
            await duplex.handshake()
        except BaseException:
            below.close()
            raise
        return duplex

    @cached_property
    def _context(self) -> ssl.SSLContext:
        assert self._address.tls
        return make_context(self._address.tls)
