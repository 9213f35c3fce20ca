"""What a container that was made ready, or has a way out, is kept from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.probes.attack import Finding, Watch, contained, escaped, outcome

from wherry.engines.gate import GATE, has_gate
from wherry.engines.local import private_network

if TYPE_CHECKING:
    from tests.support.probes.stage import Stage

_AGAIN = (
    "inherited-fds",
    "proc-1",
    "host-file",
    "proc-links",
    "capabilities",
    "callers-environment",
    "other-processes",
    "setns",
    "process-vm",
    "terminal-injection",
)


async def probes_in_a_ready_container(stage: Stage) -> Finding:
    """Its program comes by another way: through a gate, which has descriptors of its own."""
    if not has_gate():
        return Finding("refused", "there is no gate on this machine")
    for name in _AGAIN:
        said = await stage.call_ready("/probes", name)
        if not said.out.startswith("CONTAINED"):
            return escaped(f"{name}: {said.everything}")
    return contained(f"{len(_AGAIN)} probes, each in a ready container")


async def program_is_the_gate(stage: Stage) -> Finding:
    """The call's program is what the gate was executed from, or is."""
    if not has_gate():
        return Finding("refused", "there is no gate on this machine")
    before = (GATE.stat().st_mode, GATE.read_bytes())
    watch = Watch(stage)
    for path in ("/proc/self/exe", "/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/5"):
        await watch.attempt(path, stage.call_ready(path, "3"))
        await watch.attempt(f"{path}/..", stage.call_ready(f"{path}/../bin/sh", "-c", "ls /"))
    if (GATE.stat().st_mode, GATE.read_bytes()) != before:
        watch.problems.append("the gate changed")
    return watch.finding()


async def host_loopback_by_the_gateway(stage: Stage) -> Finding:
    """With network private: the host's loopback by way of slirp's gateway."""
    reason = private_network.available()
    if reason is not None:
        return Finding("refused", reason)
    port = stage.bait["BAIT_PORT"]
    hosts = " ".join(f"10.197.42.{last}" for last in (1, 2, 3, 100)) + " 127.0.0.1 10.0.2.2"
    script = (
        f"ip addr | grep -q tap0 || exit 3; for host in {hosts}; do "
        f"nc -w 1 $host {port} </dev/null >/dev/null 2>&1 && echo REACHED $host; done; echo done"
    )
    text = await outcome(stage.call("sh", "-c", script, network="private"))
    if text.strip() == "done":
        return contained(f"tried {hosts}")
    return escaped(text)
