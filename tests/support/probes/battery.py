"""Runs the whole battery as whoever it is started by: ``python -m tests.support.probes.battery``.

A process of its own, because the identity is the process's, and so is what must not leak.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from tests.support.probes.attack import Finding, Verdict
from tests.support.probes.stage import Stage, staged
from tests.support.probes.table import PROBES, Probe

from wherry.errors import Unsupported, WherryError

if TYPE_CHECKING:
    from tests.support.probes.stage import Said

_AT_ONCE = 4


async def play(stage: Stage, probe: Probe) -> Finding:
    """Run one probe and say how it went."""
    try:
        if probe.attack is not None:
            return await probe.attack(stage)
        return _read(await stage.call(*probe.command, **probe.options))
    except Unsupported as error:
        return Finding("refused", str(error))
    except (WherryError, TimeoutError, OSError, AssertionError) as error:
        return Finding("unclear", f"{type(error).__name__}: {error}")


def _read(said: Said) -> Finding:
    word, _, evidence = said.out.strip().partition(" ")
    if word.lower() in ("contained", "harmless", "escaped", "unclear"):
        return Finding(cast("Verdict", word.lower()), evidence)
    if said.exit.reason == "oom":
        return Finding("contained", "killed for its memory")
    return Finding("unclear", f"{said.exit}: {said.everything}")


async def play_all(stage: Stage) -> dict[str, Finding]:
    """Run those in containers a few at a time; attacks watch the host, so one after another."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def bounded(probe: Probe) -> Finding:
        async with free:
            return await play(stage, probe)

    inside = [probe for probe in PROBES if probe.attack is None]
    async with asyncio.TaskGroup() as group:
        tasks = {probe.name: group.create_task(bounded(probe)) for probe in inside}
    found = {name: task.result() for name, task in tasks.items()}
    for probe in PROBES:
        if probe.attack is not None:
            found[probe.name] = await play(stage, probe)
    return found


async def main() -> None:
    """Write the findings to stdout, as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--probes", type=Path, required=True)
    parser.add_argument("--linker", type=Path)
    given = parser.parse_args()
    linker = given.linker.read_bytes() if given.linker else None
    async with staged(given.home, probes=given.probes.read_bytes(), linker=linker) as stage:
        findings = await play_all(stage)
        groups = stage.engine.cgroups.support.memory
    result = {name: asdict(finding) for name, finding in findings.items()}
    json.dump({"findings": result, "memory": groups}, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
