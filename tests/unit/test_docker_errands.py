"""What an engine does while its callers go on."""

from __future__ import annotations

import asyncio

import pytest

from wherry.engines.docker.errands import Errands


async def test_all_are_waited_for_also_those_that_others_begin() -> None:
    errands, done = Errands(), []

    async def errand(left: int) -> None:
        await asyncio.sleep(0)
        done.append(left)
        if left:
            errands.begin(errand(left - 1))

    errands.begin(errand(3))
    await errands.finish()
    assert done == [3, 2, 1, 0]


async def test_who_begins_too_many_waits_for_one() -> None:
    errands, gates = Errands(), [asyncio.Event() for _ in range(33)]
    for gate in gates:
        errands.begin(_wait(gate))
    waiting = asyncio.create_task(errands.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    gates[5].set()
    await waiting
    for gate in gates:
        gate.set()
    await errands.finish()


async def test_what_goes_wrong_unexpectedly_is_raised_in_the_end() -> None:
    errands = Errands()

    async def broken() -> None:
        raise ZeroDivisionError

    errands.begin(broken())
    with pytest.raises(ZeroDivisionError):
        await errands.finish()


async def _wait(gate: asyncio.Event) -> None:
    await gate.wait()
