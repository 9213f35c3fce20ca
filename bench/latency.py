"""The latency of every kind of call, taken in turns."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.calls import COMMAND, IMAGE, NoneReady, cold, process, ready, timed
from bench.harness import Missing
from bench.rows.ready import outside

if TYPE_CHECKING:
    from bench.calls import Call
    from bench.place import Place

KINDS = ("exec", "started", "created", "cold", "docker")
TURNS = 100
_WARM_UP = 5
_WAITING = 4
_CALM = 0.05
_SLOW = {"docker": 5}
"""Kinds that are measured only every so many turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """The calls of one kind, or why there are none."""

    kind: str
    samples: tuple[float, ...] = ()
    """Milliseconds."""
    note: str = ""


async def measure_latency(place: Place, *, turns: int = TURNS) -> list[Latency]:
    """Call every kind in turns, with the machine calm before each.

    A call that was to find its container ready and did not is of no kind, and left out.
    """
    calls: dict[str, Call] = {}
    missing: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for kind in KINDS:
            try:
                calls[kind] = await _call(place, kind, stack=stack)
            except Missing as error:
                missing[kind] = str(error)
        samples = await _in_turns(calls, turns=turns)
    return [
        Latency(kind=kind, samples=tuple(samples.get(kind, ())), note=missing.get(kind, ""))
        for kind in KINDS
    ]


async def _in_turns(calls: dict[str, Call], *, turns: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {kind: [] for kind in calls}
    for turn in range(-_WARM_UP, turns):
        for kind, call in calls.items():
            if turn % _SLOW.get(kind, 1):
                continue
            await asyncio.sleep(_CALM)
            with suppress(NoneReady):
                took = await timed(call)
                if turn >= 0:
                    samples[kind].append(took)
    return samples


async def _call(place: Place, kind: str, *, stack: AsyncExitStack) -> Call:
    match kind:
        case "cold":
            return cold(await place.client())
        case "created" | "started":
            engine = await place.another_engine()
            kept = ready(engine, least=_WAITING, level=kind)
            return (await stack.enter_async_context(kept)).ready_call
        case "exec":
            return process(await outside(place))
        case _:
            command = (await place.docker()).run("--network", "none", IMAGE, *COMMAND)
            return process(command)
