"""Ready containers of a Docker engine: everything but the call itself is done beforehand.

Its first process is the gate (see ``gate.c``), in place of the engine's init and the image's
entrypoint. It waits on stdin for its call, when the engine has done all its work; with level
"started" it is told the call at once, and the program waits. What became of the program is told
by the gate itself (see :mod:`~wherry.engines.docker.lastwords`), tens of milliseconds before
the engine tells it. The program sees what it would in a cold call, but for three things: the
command line of process 1; no ``/sbin/docker-init``; and, when it does not run as root, the file
of the gate in the root directory, which only root can remove.

Where the gate cannot be used, the container is created and attached to, and the call starts it,
or with level "started" feeds it: the gate was not compiled here, the engine's machine is of
another kind than this one, or the root file system is read-only, where no engine puts files. Such
a container cannot take arguments or environment of a call, and its stdin is open even if the
call has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from wherry.engines.docker.lastwords import new_secret
from wherry.engines.docker.options import environment_of
from wherry.engines.gate import GATE, call_frame, has_gate
from wherry.engines.sources import Sources, sources_of
from wherry.errors import EngineError, UsageError
from wherry.images.model import Platform
from wherry.images.platforms import host_platform, normal
from wherry.models import File, Function, Invocation, PullPolicy
from wherry.streams import NOTHING

if TYPE_CHECKING:
    from wherry.engines.base import Stdin
    from wherry.engines.docker.call import Call
    from wherry.engines.docker.client import DockerClient
    from wherry.engines.docker.container import DockerContainer
    from wherry.engines.docker.errands import Errands
    from wherry.engines.docker.watch import EngineImage

GATE_TARGET = "/.wherry-gate"
_NO_HEALTHCHECK = {"Test": ["NONE"]}
Waiting = Literal["gate", "created", "started"]
Begin = Callable[[], Awaitable["DockerContainer"]]
Serve = Callable[[Begin], AbstractAsyncContextManager["DockerContainer"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How a container waits for its call."""

    waiting: Waiting
    changes: Mapping[str, Any] = field(default_factory=dict)
    """What is different in the body of its creation."""
    files: tuple[File, ...] = ()
    """What is put in besides the function's own: the gate, or nothing."""

    @classmethod
    async def of(cls, function: Function, *, client: DockerClient) -> Preparation:
        """Decide, for a function on an engine."""
        changes: dict[str, Any] = {"Healthcheck": _NO_HEALTHCHECK}
        is_started = function.ready is not None and function.ready.level == "started"
        if function.read_only or not has_gate() or not await _is_like_here(client):
            return cls(waiting="started" if is_started else "created", changes=changes)
        changes |= {"Entrypoint": [GATE_TARGET, "-"], "Cmd": None}
        data = await asyncio.to_thread(GATE.read_bytes)
        gate = File(target=GATE_TARGET, data=data, mode=0o755)
        return cls(waiting="started" if is_started else "gate", changes=changes, files=(gate,))

    def apply(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a creation as it has to be."""
        host = {**body["HostConfig"], "Init": not self.files}
        return {**body, **self.changes, "HostConfig": host}


class DockerSlot:
    """Implements :class:`wherry.engines.base.Slot`.

    Its container is named after its call, unless that is over very soon; labels cannot be
    changed, so that ``wherry.invocation`` is of an invocation nobody knows. An image's name that
    was given to another image is noticed when the engine's event has come.
    """

    def __init__(
        self,
        function: Function,
        call: Call,
        *,
        image: EngineImage,
        sources: Sources,
        waiting: Waiting,
        serve: Serve,
        is_current: Callable[[], bool],
        errands: Errands,
    ) -> None:
        assert call.container
        self.taken = False
        self._function = function
        self._call = call
        self._container = call.container
        self._image = image
        self._waiting = waiting
        self._serve = serve
        self._is_current = is_current
        self._errands = errands
        self._sources = sources

    @property
    def usable(self) -> bool:
        """Whether a call can still have it."""
        return (
            not self.taken
            and self._container.is_connected()
            and self._is_current()
            and sources_of(self._function) == self._sources
        )

    async def ended(self) -> None:
        """Wait until the container has ended without a call."""
        await self._container.ended()

    def serves(self, invocation: Invocation) -> bool:
        """Tell: only the gate takes arguments and environment of a call.

        An empty HOME is the user's own in a cold call, which the runtime sees to.
        """
        if invocation.function != self._function:
            return False
        if self._waiting == "gate":
            return invocation.env.get("HOME") != ""
        return not (invocation.args or invocation.env)

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[DockerContainer]:
        """Start the call; see :class:`wherry.engines.base.Slot`."""
        if self.taken:
            raise EngineError(f"container {self._container.id} has served its one call")
        self.taken = True
        async with self._serve(lambda: self._begin(invocation, stdin)) as container:
            yield container

    async def _begin(self, invocation: Invocation, stdin: Stdin) -> DockerContainer:
        self._container.id = invocation.id
        await self._tell(invocation, stdin)
        self._call.rename(invocation.id, errands=self._errands)
        return self._container

    async def _tell(self, invocation: Invocation, stdin: Stdin) -> None:
        if self._waiting == "gate":
            has_stdin = stdin is not NOTHING
            await tell(self._container, invocation, image=self._image, has_stdin=has_stdin)
        self._container.feed(stdin)
        if self._waiting == "created":
            await self._call.start()


async def tell(
    container: DockerContainer, invocation: Invocation, *, image: EngineImage, has_stdin: bool
) -> None:
    """Tell the gate in a container what to run; raises UsageError when that is nothing."""
    environment_of(invocation)
    argv, secret = argv_of(invocation, image=image), new_secret()
    frame = call_frame(argv, invocation.env, has_stdin=has_stdin, secret=secret)
    await container.call(frame, program=argv[0], secret=secret)


def waiting_invocation(function: Function) -> Invocation:
    """Return what a container is made for before its call: without a deadline, and pulled."""
    pull: PullPolicy = "never" if function.pull == "never" else "missing"
    limits = replace(function.limits, timeout=None)
    return Invocation(function=replace(function, limits=limits, pull=pull))


def argv_of(invocation: Invocation, *, image: EngineImage) -> list[str]:
    """Put together what an engine would run; raises UsageError when that is nothing."""
    function = invocation.function
    entrypoint = image.entrypoint if function.entrypoint is None else function.entrypoint
    command = (*function.command, *invocation.args)
    if not command and function.entrypoint is None:
        command = image.cmd
    argv = [*entrypoint, *command]
    if not argv:
        raise UsageError(f"image {function.image!r} names no command of its own; give one")
    if any("\0" in word for word in argv):
        raise UsageError(f"arguments must not contain NUL bytes: {argv!r}")
    return [*function.around, *argv]


async def _is_like_here(client: DockerClient) -> bool:
    """Whether the engine's machine runs the programs that are compiled for this one."""
    known = await client.call("GET", "/version")
    os, architecture = known.get("Os", "linux"), str(known.get("Arch", ""))
    return normal(Platform(os=os, architecture=architecture)) == host_platform()
