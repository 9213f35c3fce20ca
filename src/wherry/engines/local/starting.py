"""From a plan to a sandbox that runs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from wherry.engines.closing import finish
from wherry.engines.local import arguments, marker, pipes, reaping, seccomp
from wherry.engines.local.container import LocalContainer
from wherry.engines.local.launching import Launch, spawn
from wherry.engines.local.sandbox import Sandbox
from wherry.errors import EngineError, ProgramNotExecutable, UsageError

if TYPE_CHECKING:
    from wherry.engines.local.cgroup import Cgroups, Group
    from wherry.engines.local.plan import Plan
    from wherry.engines.local.private_network import PrivateNetwork
    from wherry.engines.local.ready import Gate
    from wherry.engines.local.settings import Defaults, LocalSettings
    from wherry.models import Invocation

_MOST_WORDS = 8900
"""Bubblewrap's own limit is 9000 (its MAX_ARGS), and a few are its own command line's."""
_OVERHEAD_PIDS = 4
"""Launcher, bubblewrap, its init, and one in the making."""


class Place(Protocol):
    """What a sandbox needs of its engine."""

    settings: LocalSettings

    @property
    def cgroups(self) -> Cgroups:
        """The control groups this process may make."""
        ...

    @property
    def program(self) -> Path:
        """Bubblewrap."""
        ...

    @property
    def defaults(self) -> Defaults:
        """Limits of a call that names none."""
        ...


@dataclass(slots=True, kw_only=True)
class Started:
    """A sandbox on its way, and what belongs to it."""

    container: LocalContainer
    stdin: int
    """The write end of its stdin, now the container's to close."""
    scratch: int | None = None
    """What it writes, to be collected: a descriptor of the file system that holds it all."""
    network: PrivateNetwork | None = None


@dataclass(slots=True)
class _Ends:
    """The pipes of a sandbox: our ends, and theirs, which are closed once it has them."""

    ours: dict[str, int] = field(default_factory=dict)
    theirs: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, *, we_write: bool = False) -> None:
        read, write = pipes.pipe()
        self.ours[name], self.theirs[name] = (write, read) if we_write else (read, write)


@dataclass(frozen=True, slots=True)
class Entry:
    """The first program of a sandbox, and the descriptors it inherits."""

    argv: list[str]
    fds: tuple[int, ...] = ()
    gate: Gate | None = None
    """Our end of the line to it, when it is the gate."""


async def start_sandbox(
    place: Place, plan: Plan, *, invocation: Invocation, mark: str, entry: Entry
) -> Started:
    """Start the sandbox of one call; what fails here leaves nothing behind."""
    place.settings.check_sandbox()
    group = _group(place, plan, invocation)
    try:
        started = _spawn(_Order(place, plan, invocation, mark, entry, group))
    except BaseException:
        if group is not None:
            group.end()
        raise
    try:
        await _before_its_program(place, plan, started)
    except BaseException:
        os.close(started.stdin)
        await finish(started.container.end())
        raise
    return started


@dataclass(frozen=True, slots=True)
class _Order:
    """All that one start is about."""

    place: Place
    plan: Plan
    invocation: Invocation
    mark: str
    entry: Entry
    group: Group | None


def _spawn(order: _Order) -> Started:
    try:
        return _spawned(order)
    except OSError as error:
        if error.errno == errno.E2BIG:
            raise ProgramNotExecutable(
                f"{order.entry.argv[0]!r} cannot be executed in the image: {error.strerror}"
            ) from error
        advice = ""
        if error.errno == errno.EMFILE:
            advice = "; one that runs takes five of this process: raise its limit (`ulimit -n`)"
        raise EngineError(f"cannot start a container: {error.strerror}{advice}") from error


def _spawned(order: _Order) -> Started:
    plan, invocation = order.plan, order.invocation
    held = bool(plan.collect) or plan.function.network == "private"
    with _pipes(held=held) as ends:
        if order.place.settings.sandbox is not None:
            for name in ("stdin", "stdout", "stderr"):
                # Who opens /dev/stdout opens the pipe anew, and must be its owner.
                os.fchown(ends.theirs[name], *order.place.settings.sandbox)
        pid = _launch(order, ends.theirs)
        ours = ends.ours
        hold = ours.get("hold")
        sandbox = Sandbox(pid=pid, id=invocation.id, status=ours["status"], hold=hold)
    for stream in ("stdout", "stderr"):
        os.set_blocking(ours[stream], False)
    container = LocalContainer(
        invocation.id,
        sandbox,
        group=order.group,
        gate=order.entry.gate,
        stop_signal=plan.stop_signal,
        streams={"stdout": ours["stdout"], "stderr": ours["stderr"]},
    )
    return Started(container=container, stdin=ours["stdin"])


@contextmanager
def _pipes(*, held: bool) -> Iterator[_Ends]:
    """Make the pipes; close theirs in the end, and ours as well when the start fails."""
    ends = _Ends()
    try:
        ends.add("stdin", we_write=True)
        for name in ("stdout", "stderr", "status"):
            ends.add(name)
        if held:
            ends.add("hold", we_write=True)
        yield ends
    except BaseException:
        for fd in ends.ours.values():
            os.close(fd)
        raise
    finally:
        for fd in ends.theirs.values():
            os.close(fd)


def _launch(order: _Order, fds: dict[str, int]) -> int:
    place, plan, group = order.place, order.plan, order.group
    scratch = place.settings.scratch
    limits, defaults = plan.function.limits, place.defaults
    descriptors = arguments.Descriptors()
    try:
        hostname = plan.hostname(order.invocation)
        words = arguments.build(
            plan,
            # The gate is told the environment with its call.
            {} if order.entry.gate else plan.env(order.invocation, hostname),
            hostname=hostname,
            scratch=scratch,
            resolv_conf=_resolv_conf(plan),
            descriptors=descriptors,
        )
        words += [
            "--seccomp",
            descriptors.add(pipes.in_memory("seccomp", seccomp.filter_program())),
        ]
        words += ["--json-status-fd", str(fds["status"])]
        if "hold" in fds:
            words += ["--block-fd", str(fds["hold"])]
        listed = descriptors.add(pipes.in_memory("arguments", _packed(words, order.entry)))
        extra = [fd for name, fd in fds.items() if name in ("status", "hold")]
        return spawn(
            Launch(
                marker=order.mark,
                program=place.program,
                arguments=["--args", listed, "--", *order.entry.argv],
                scratch=scratch,
                tmp=limits.tmp or defaults.tmp,
                processes=(limits.pids or defaults.pids) + _OVERHEAD_PIDS,
                data=None if place.cgroups.support.memory else defaults.memory,
                cgroups=group.joining if group is not None else (),
                sandbox=place.settings.sandbox,
                stdin=fds["stdin"],
                stdout=fds["stdout"],
                stderr=fds["stderr"],
                keep=[*descriptors.numbers, *extra, *order.entry.fds],
                compiled=place.settings.compiled_launcher,
            )
        )
    finally:
        descriptors.close()


def _packed(words: list[str], entry: Entry) -> bytes:
    count = len(words) + len(entry.argv)
    if count > _MOST_WORDS:
        raise UsageError(
            f"arguments, environment, files and mounts come to {count} words, and bubblewrap takes "
            f"{_MOST_WORDS}; use fewer"
        )
    packed = "\0".join(words)
    if packed.count("\0") >= len(words):
        raise UsageError("no name or path of a call may hold a NUL byte")
    return os.fsencode(packed) + b"\0"


def _group(place: Place, plan: Plan, invocation: Invocation) -> Group | None:
    support, limits, defaults = place.cgroups.support, plan.function.limits, place.defaults
    if support.layout == "none":
        return None
    return place.cgroups.create(
        reaping.group_name(marker.this_process(), invocation.id),
        memory=limits.memory or (defaults.memory if support.memory else None),
        cpus=limits.cpus,
        pids=(limits.pids or defaults.pids) + _OVERHEAD_PIDS if support.pids else None,
    )


def _resolv_conf(plan: Plan) -> bytes | None:
    match plan.function.network:
        case "none":
            return None
        case "host":
            path = Path("/etc/resolv.conf")
            return path.read_bytes() if path.exists() else b""
        case "private":
            from wherry.engines.local import private_network

            return private_network.resolv_conf()


async def _before_its_program(place: Place, plan: Plan, started: Started) -> None:
    """Do what must be done while the sandbox exists and its program does not run yet."""
    if not plan.collect and plan.function.network != "private":
        return
    sandbox = started.container.sandbox
    init = await sandbox.init_pid()
    if init is None:
        sandbox.release()
        return  # it failed; its events say why
    if plan.collect:
        started.scratch = _open_scratch(sandbox.pid, place.settings.scratch)
    if plan.function.network == "private":
        from wherry.engines.local import private_network

        started.network = await private_network.attach(init)
    sandbox.release()


def _open_scratch(pid: int, scratch: Path) -> int:
    """Open what only the launcher's mount namespace shows, through its process."""
    try:
        return os.open(f"/proc/{pid}/root{scratch}", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise EngineError(f"cannot see what the container writes: {error}") from error
