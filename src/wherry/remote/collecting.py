"""Output of a program as a whole, in bounded time and memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from wherry.models import Exit, Output
from wherry.remote.faults import Ended, Fault

_LAST = 4096
"""Bytes of stderr that an error quotes, or of stdout where there is nothing else."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a program wrote."""

    stdout: bytes
    stderr: bytes


async def collected(
    events: AsyncIterator[Output | Exit], *, limit: int, seconds: float, command: str
) -> Collected:
    """Read a program to its end.

    Raises :class:`Ended` unless it ends well and in time, :class:`Fault` for more than ``limit``
    bytes. ``command`` is for messages, with its secrets masked.
    """
    parts: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
    end: Exit | None = None
    try:
        async with asyncio.timeout(seconds):
            async for event in events:
                if isinstance(event, Exit):
                    end = event
                else:
                    parts[event.stream] += event.data
                if sum(map(len, parts.values())) > limit:
                    raise _too_much(limit)
    except TimeoutError:
        end = None
    stdout, stderr = bytes(parts["stdout"]), bytes(parts["stderr"])
    if end is not None and end.code == 0:
        return Collected(stdout, stderr)
    reason = f"did not end within {seconds:g} s" if end is None else end.describe()
    said = (stderr.strip() or stdout)[-_LAST:].decode(errors="replace").strip()
    raise Ended(
        f"Command failed: {command}: {reason}{f': {said}' if said else ''}",
        code=None if end is None else end.code,
        stdout=stdout,
        stderr=stderr,
    )


def _too_much(limit: int) -> Fault:
    return Fault(
        f"the program wrote more than {limit} bytes, the most of one answer; ask with ?stream=1",
        status=502,
        compatible=500,
    )
