"""The ground that chaos is made on: an engine in a directory of its own, and what is left of it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

from tests.support.busybox import busybox
from tests.support.probes.images import Recipe, build

from wherry.engines.local import marker
from wherry.engines.local.engine import LocalEngine
from wherry.engines.local.settings import SANDBOX_ID, Defaults, LocalSettings
from wherry.models import Exit, Function, Invocation

MIB = 1 << 20
TOKEN = f"wherry-chaos-{Path.home().name}-"
"""Begins a word in every command line of ours, inside and outside. Every piece of chaos has a
home directory of its own, so that two at one time do not take each other's processes for theirs.
"""


def engine(home: Path) -> LocalEngine:
    """Return an engine of whoever we are, whose image is there already or is made."""
    sandbox = (SANDBOX_ID, SANDBOX_ID) if os.getuid() == 0 else None
    defaults = Defaults(memory=256 * MIB, tmp=32 * MIB, pids=64)
    made = LocalEngine(LocalSettings(data=home / "data", sandbox=sandbox, defaults=defaults))
    if made.store.find("busybox") is None:
        build(made.store, "busybox", probes=busybox().read_bytes(), recipe=Recipe())
    return made


def shell(script: str, *, token: str = TOKEN) -> Invocation:
    """Return a call of a shell script, whose command line is known again by its token."""
    command = ("sh", "-c", script, token)
    return Invocation(function=Function(name="chaos", image="busybox", command=command))


async def once(data: bytes = b"") -> AsyncIterator[bytes]:
    """Yield some input, then end."""
    if data:
        yield data


async def run(on: LocalEngine, invocation: Invocation, data: bytes = b"") -> tuple[bytes, Exit]:
    """Run a call until nothing is left of it; return its stdout and how it ended."""
    out, end = b"", None
    async with on.start(invocation, once(data)) as container:
        async for event in container:
            if isinstance(event, Exit):
                end = event
            elif event.stream == "stdout":
                out += event.data
    await on.settled()
    assert end is not None, "no Exit"
    return out, end


def files(home: Path) -> set[str]:
    """Return what lies in the directory, the files of unpacked images aside."""
    return {str(path) for path in home.rglob("*") if "/rootfs/" not in str(path)}


class Remains:
    """What is left of containers: of certain callers, or with a certain directory in use."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._files = files(home)
        self.callers: set[int] = {os.getpid()}

    def find(self, on: LocalEngine) -> list[str]:
        """Return it in words; empty when all is clean."""
        left = [f"process {one.pid}: {one.marker.id}" for one in self._marked()]
        left += [f"process {pid} runs our command" for pid in processes_with(TOKEN)]
        left += [f"mount in process {pid}" for pid in self._mounts()]
        left += [f"cgroup {name}" for name in self._groups(on)]
        left += [f"socket {line}" for line in self._sockets()]
        return left + [f"file {name}" for name in sorted(files(self._home) - self._files)]

    def _marked(self) -> Iterator[marker.Sighting]:
        return (one for one in marker.sightings() if one.marker.owner.pid in self.callers)

    def _groups(self, on: LocalEngine) -> Iterable[str]:
        prefixes = tuple(f"{pid}-" for pid in self.callers)
        return [group.name for group in on.cgroups.find() if group.name.startswith(prefixes)]

    def _mounts(self) -> Iterator[int]:
        for pid in pids():
            try:
                table = Path(f"/proc/{pid}/mountinfo").read_text(errors="replace")
            except OSError:
                continue
            if str(self._home / "data") in table:
                yield pid

    def _sockets(self) -> list[str]:
        lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
        return [line for line in lines if str(self._home) in line]


def pids() -> list[int]:
    """Return the processes there are."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208


def processes_with(word: str) -> list[int]:
    """Return the processes with a command line in which a word begins so."""
    found = []
    for pid in pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(one.startswith(word.encode()) for one in words):
            found.append(pid)
    return found
