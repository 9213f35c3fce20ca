"""What has come of a connection and was not looked at yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wherry.proxy.front.problems import ClientLeft

if TYPE_CHECKING:
    from wherry.engines.docker.duplex import Duplex


class Buffer:
    """The reading side of a client's connection. Holds at most one read more than is asked for."""

    def __init__(self, wire: Duplex) -> None:
        self._wire = wire
        self._held = bytearray()

    @property
    def held(self) -> bytearray:
        """What has come; to be taken with :meth:`take`."""
        return self._held

    async def fill(self) -> bool:
        """Wait for more; False at the client's end. Raises ClientLeft when it was cut."""
        try:
            data = await self._wire.read()
        except TimeoutError:  # the kernel's own, which is no time limit of ours
            raise ClientLeft("the client vanished") from None
        except OSError as error:
            raise ClientLeft(f"the client's connection was cut: {error}") from error
        self._held += data
        return bool(data)

    def take(self, most: int) -> bytes:
        """Return the first bytes, at most so many."""
        if len(self._held) <= most:
            data = bytes(self._held)
            self._held.clear()
        else:
            data = bytes(self._held[:most])
            del self._held[:most]
        return data


async def settle(wire: Duplex, *, seconds: float, limit: int) -> None:
    """Read and throw away what a client still sends, until it ends, or one of both is used up.

    Closing on what it sends would be a reset, which may take the answer with it.
    """
    taken = 0
    try:
        async with asyncio.timeout(seconds):
            while taken < limit and (data := await wire.read()):
                taken += len(data)
    except OSError:  # TimeoutError is one
        pass
