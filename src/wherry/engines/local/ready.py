"""Ready sandboxes of the local engine: everything but the call itself is done beforehand."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from wherry.engines.gate import GATE, call_frame, has_gate
from wherry.engines.local import pipes
from wherry.engines.sources import Sources, sources_of
from wherry.errors import (
    EngineError,
    ProgramNotExecutable,
    ProgramNotFound,
    Unsupported,
)

if TYPE_CHECKING:
    from wherry.engines.base import Stdin
    from wherry.engines.local.container import LocalContainer
    from wherry.engines.local.plan import Plan
    from wherry.errors import WherryError
    from wherry.models import Invocation

_NOT_FOUND = 2
_DIED = "the container that was ready for this call ended before it could start"


class Gate:
    """Our end of the line to the gate, the first program of a ready sandbox."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._fd = pipes.lift(ours.detach())
        self._theirs = pipes.lift(theirs.detach())
        self._program = pipes.from_file(str(GATE))
        self._called = ""
        os.set_blocking(self._fd, False)

    @property
    def fds(self) -> tuple[int, int]:
        """What the sandbox inherits: the gate's end, and the gate itself."""
        return self._theirs, self._program

    @property
    def argv(self) -> list[str]:
        """How the gate is executed; it needs no place in the image's file system."""
        return [f"/proc/self/fd/{self._program}", str(self._theirs)]

    def handed_over(self) -> None:
        """Close what the sandbox has its own copies of. Harmless when it is done twice."""
        for fd in (self._theirs, self._program):
            if fd >= 0:
                os.close(fd)
        self._theirs = self._program = -1

    async def opened(self) -> bool:
        """Wait until the sandbox stands; False when it ended before."""
        await pipes.wait_readable([self._fd])
        try:
            return self._hear() == b"R"
        except ConnectionResetError:
            return False

    async def call(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Send the call, which starts the program."""
        self._called = argv[0]
        frame = call_frame(argv, env)
        if not await pipes.write_all(self._fd, frame):
            raise EngineError(_DIED)

    def failure(self) -> WherryError | None:
        """Return why the program could not be executed, None when it could. Ask at its end."""
        try:
            said = self._hear()
        except ConnectionResetError:
            return EngineError(_DIED)  # it did not read all of the call
        if not said.startswith(b"E"):
            return None
        number = int(said[1:4])
        if number == _NOT_FOUND:
            return ProgramNotFound(
                f"the image has no program {self._called!r}, or what it names to run it with"
            )
        return ProgramNotExecutable(
            f"{self._called!r} cannot be executed in the image: {os.strerror(number)}"
        )

    def close(self) -> None:
        """Close our end; a gate that still waits ends."""
        self.handed_over()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _hear(self) -> bytes:
        return pipes.read_now(self._fd) or b""


class LocalSlot:
    """Implements :class:`wherry.engines.base.Slot`."""

    def __init__(
        self,
        plan: Plan,
        container: LocalContainer,
        *,
        gate: Gate | None,
        sources: Sources,
        hostname: str,
        begin: Callable[[Stdin], AbstractAsyncContextManager[LocalContainer]],
        is_current: Callable[[], bool],
    ) -> None:
        self._plan = plan
        self._container = container
        self._gate = gate
        self._hostname = hostname
        self._begin = begin
        self._is_current = is_current
        self._sources = sources
        self._taken = False

    @property
    def usable(self) -> bool:
        """Whether a call can still have it."""
        return (
            not self._taken
            and self._container.sandbox.is_running()
            and self._is_current()
            and sources_of(self._plan.function) == self._sources
        )

    async def ended(self) -> None:
        """Wait until the sandbox has ended without a call."""
        await self._container.sandbox.wait()

    def serves(self, invocation: Invocation) -> bool:
        """Tell: a program that is started already takes neither arguments nor environment."""
        same = invocation.function == self._plan.function
        return same and (self._gate is not None or not (invocation.args or invocation.env))

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[LocalContainer]:
        """Start the call; see :class:`wherry.engines.base.Slot`."""
        if self._taken:
            raise EngineError(f"container {self._container.id} has served its one call")
        self._taken = True
        if self._gate is not None:
            env = self._plan.env(invocation, self._hostname)
            await self._gate.call(self._plan.argv(invocation), env)
        self._container.rename(invocation.id)
        async with self._begin(stdin) as container:
            yield container


def check_level(level: str) -> None:
    """Raise :class:`Unsupported` for a level that needs the gate where it was not compiled."""
    if level == "created" and not has_gate():
        raise Unsupported(
            "ready.level 'created' needs wherry's static gate, which is compiled when wherry is "
            "installed and a C compiler is there; install one and wherry again, or use 'started'"
        )
