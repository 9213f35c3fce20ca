"""Containers that pass for something else, to the reaper, to the caller, to other users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.probes.attack import Finding, contained, escaped

from wherry.engines.local import marker
from wherry.errors import StartError
from wherry.models import Secret, new_id

if TYPE_CHECKING:
    from tests.support.probes.stage import Stage


async def passes_for_another(stage: Stage) -> Finding:
    """A program named like another container, whose owner is gone: the reaper believes nobody."""
    victim = new_id()
    fields = {"id": victim, "owner": "1-1-1", "function": "f", "image": "i", "labels": {}}
    gone = marker.this_process()
    fields["owner"] = f"{gone.pid}-{gone.start - 1}-{gone.namespace}"
    name = f"wherry-sandbox {json.dumps(fields)}"
    async with (
        stage.running("/probes", "as", name),
        stage.running("/probes", "wait", id=victim) as container,
    ):
        seen = [found for found in stage.engine.running() if found.marker.id == victim]
        reaped = stage.engine.reap()
        alive = any(found.marker.id == victim for found in stage.engine.running())
        if victim in reaped.containers or not alive or len(seen) != 1:
            return escaped(f"container {container.id} was reaped")
    return contained(f"reaped {len(reaped.containers)}, the other container lives")


async def confuses_the_reaper(stage: Stage) -> Finding:
    """Names that are almost a marker must not make the reaper fail."""
    names = ["[", '{"owner": 5}', "[" * 50_000, '{"id": [], "owner": "1-1-1"}', "\udcff{}"]
    for name in names:
        async with stage.running("/probes", "as", f"wherry-sandbox {name}"):
            stage.engine.reap()
    return contained(f"{len(names)} malformed names, no failure")


async def fakes_a_complaint(stage: Stage) -> Finding:
    """What the program writes is never taken for what bubblewrap says."""
    line = "bwrap: execvp nothing: No such file or directory"
    try:
        said = await stage.call("sh", "-c", f"echo '{line}' >&2; exit 1")
    except StartError as error:
        return escaped(f"taken for the engine's own: {error}")
    if said.exit.code != 1 or line not in said.err:
        return escaped(f"{said.exit} {said.err}")
    return contained("exit 1, stderr kept")


async def shows_on_the_host(stage: Stage) -> Finding:
    """Secrets and environment are in no process's command line or environment out here."""
    secret, value = new_id(), new_id()
    secrets = (Secret(name="token", value=secret.encode()),)
    async with stage.running("/probes", "wait", env={"TOKEN": value}, secrets=secrets) as running:
        found = [one for one in stage.engine.running() if one.marker.id == running.id]
        pids = [pid for one in found for pid in one.pids]
        texts = [Path(f"/proc/{pid}/{name}") for pid in pids for name in ("cmdline", "environ")]
        shown = [str(path) for path in texts if _holds(path, secret, value)]
    if shown or len(pids) < 2:
        return escaped(f"{shown} of {pids}")
    return contained(f"looked at {len(texts)} files of {len(pids)} processes")


def _holds(path: Path, *texts: str) -> bool:
    data = path.read_bytes()
    return any(text.encode() in data for text in texts)


async def bait_survives(stage: Stage) -> Finding:
    """After kill(-1), as seen from outside: nobody else was hit."""
    await stage.call("/probes", "kill-all")
    await stage.call("/probes", "kill-init")
    await stage.call("/probes", "host-process")
    state = Path(f"/proc/{stage.bait['BAIT_PID']}/stat").read_text().rpartition(")")[2].split()[0]
    neighbours = [one for one in stage.engine.running() if one.marker.function == "probe"]
    if state == "Z" or not neighbours:
        return escaped("the bait's process or the neighbour is gone")
    return contained("the bait's process and the neighbour live")


async def pid_one_race(stage: Stage) -> Finding:
    """The moment after the start, many times over."""
    tries = 60
    for _ in range(tries):
        said = await stage.call("/probes", "proc-1-race")
        if not said.out.startswith("CONTAINED"):
            return escaped(said.out)
    return contained(f"{tries} containers, 300 looks each")
