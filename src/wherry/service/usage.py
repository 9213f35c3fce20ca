"""What a deployed function takes now: CPU as a rate, memory as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wherry.engines.base import Usage

WINDOW = 0.2
"""Seconds between the two looks that a rate is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What all containers of a function take, those that are ready included."""

    cores: float = 0.0
    """CPU seconds per second, of late."""
    memory: int = 0
    """Bytes."""


class Source(Protocol):
    """What is asked of a client."""

    async def usage(self, name: str) -> Sequence[Usage]:
        """See :meth:`wherry.client.AsyncClient.usage`."""
        ...


async def used(source: Source, name: str, *, window: float = WINDOW) -> Used:
    """Look twice, ``window`` seconds apart. Of a container that ends in between nothing counts."""
    clock = asyncio.get_running_loop().time
    before = {each.id: each.cpu_seconds for each in await source.usage(name)}
    if not before:
        return Used()
    began = clock()
    await asyncio.sleep(window)
    after = await source.usage(name)
    passed = max(clock() - began, window)
    spent = sum(max(0.0, each.cpu_seconds - before.get(each.id, 0.0)) for each in after)
    return Used(cores=spent / passed, memory=sum(each.memory for each in after))
