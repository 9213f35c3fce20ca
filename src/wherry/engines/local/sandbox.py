"""One sandbox's processes: what they say of themselves, how they end and are ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from wherry.engines.local import marker, pipes, renaming
from wherry.errors import EngineError

_ENDING = 10.0
"""Seconds the kernel gets to end what was killed, before we say that it did not."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a sandbox ended. ``exit_code`` is None when bubblewrap never started the program."""

    exit_code: int | None
    killed_by: int | None
    """The signal that ended bubblewrap itself, which is not the program's."""


class Sandbox:
    """The processes of one container: bubblewrap, its init, and what runs below them."""

    def __init__(self, *, pid: int, id: str, status: int, hold: int | None) -> None:  # noqa: A002
        self.pid = pid
        self._ids: tuple[str, ...] = (id,)
        self._pidfd = os.pidfd_open(pid)
        self._status = status
        os.set_blocking(status, False)
        self._hold = hold
        self._place: int | None = None
        self._said = b""
        self._init: int | None = None
        self._exit_code: int | None = None
        self._ended: Ended | None = None
        self._watched: set[int] = set()
        self._news: set[Callable[[], None]] = set()
        self._rest_is_gone = False
        self._closed = False

    @property
    def has_told(self) -> bool:
        """Whether the program's exit code is known: it has ended, and written all it will."""
        return self._exit_code is not None

    async def init_pid(self) -> int | None:
        """Return the host pid of the sandbox's init, None when it ended before it had one."""
        self._hear_now()
        while self._init is None and self._ended is None:
            await self._something_new()
        return self._init

    def expect_call(self) -> None:
        """Do beforehand what :meth:`rename` needs, once the sandbox has its init."""
        self._hear_now()
        self._place = renaming.place_of_id(self.pid, id=self._ids[-1])

    def rename(self, id: str) -> None:  # noqa: A002
        """Carry the id of a call, which this sandbox was made before."""
        if self._init is not None and self._place is not None:
            renaming.rename((self.pid, self._init), self._place, old=self._ids[-1], new=id)
        self._ids += (id,)

    def is_running(self) -> bool:
        """Whether bubblewrap has not ended, as far as can be seen without waiting."""
        if self._ended is None:
            self._reap()
        return self._ended is None

    def is_over(self) -> bool:
        """Whether the program has ended and nothing but bubblewrap's own processes is left.

        Init inherits all that loses its parent: when it has no child, nothing else is there.
        """
        told = self.has_told and self._ended is None and self._init is not None
        return told and _children(self._init or 0) == []

    def release(self) -> None:
        """Let a held sandbox go on to its program."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    async def wait(self) -> Ended:
        """Wait until bubblewrap has told the program's exit code, or has ended without one."""
        while not self.has_told and self._ended is None:
            await self._something_new()
        if self._ended is not None:
            return self._ended
        return Ended(exit_code=self._exit_code, killed_by=None)

    def watch(self, tell: Callable[[], None]) -> None:
        """Have ``tell`` called once, when there is something new to be known of it.

        From now on, what outlives bubblewrap is ended as soon as that has ended, so that its
        output ends too. Its init dies with it, but for the first milliseconds, when that is not
        yet arranged.
        """
        self._news.add(tell)
        loop = asyncio.get_running_loop()
        if self._ended is None and self._pidfd not in self._watched:
            self._watched.add(self._pidfd)
            loop.add_reader(self._pidfd, self._notice)
            self._watched.add(self._status)
            loop.add_reader(self._status, self._listen)

    def send(self, number: int) -> bool:
        """Send a signal to the program; False when there is none: not started yet, or ended."""
        self._hear_now()
        if self._ended is None and not self.has_told and self._init is not None:
            for pid in (_children(self._init) or [])[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                    return True
        return False

    async def kill(self) -> None:
        """Kill everything in the sandbox, through its init: the kernel ends the rest with it."""
        init = await self.init_pid()
        if self._ended is not None or self.has_told:
            return
        # Bubblewrap is alive and has not reaped its init: the pid is its own.
        with suppress(ProcessLookupError):
            os.kill(init or self.pid, signal.SIGKILL)

    async def stop(self) -> bool:
        """End what still runs in it. Afterwards nothing of the image does.

        Returns whether bubblewrap's own two processes may still be on their way out, with what
        the kernel keeps for them; :meth:`close` waits for that.
        """
        self._hear_now()
        if self.is_over():
            return True
        async with self._bounded():
            if self._ended is None:
                await self.kill()
                self.release()
                await self._gone()
            await self._rest_gone()
        return False

    async def close(self) -> None:
        """Wait until a stopped sandbox is gone, and free the descriptors."""
        try:
            async with self._bounded():
                await self._gone()
                await self._rest_gone()
        finally:
            if self._ended is None:
                self._reap()
            self._closed = True
            self.release()
            self._unwatch()
            os.close(self._pidfd)
            os.close(self._status)

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_ENDING):
                yield
        except TimeoutError as error:
            raise EngineError(
                f"container {self._ids[-1]} did not end within {_ENDING:g} s of its kill"
            ) from error

    async def _gone(self) -> None:
        while self._ended is None:
            await self._something_new()

    async def _rest_gone(self) -> None:
        """Bubblewrap ends a moment before its init, which it does not wait for."""
        if self._rest_is_gone:
            return
        for pid in self._rest():
            if marker.start_time(pid) is None:
                continue  # it has ended
            with self._held(pid) as fd:
                if fd is None:
                    continue
                _kill(fd)
                await pipes.wait_readable([fd])
                # As pid 1 of a container we inherit it, and nobody else would reap it.
                with suppress(ChildProcessError):
                    os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222
        self._rest_is_gone = True

    async def _something_new(self) -> None:
        new = asyncio.Event()
        self.watch(new.set)
        try:
            await new.wait()
        finally:
            self._news.discard(new.set)

    def _listen(self) -> None:
        if not self._hear_now():
            self._unwatch(self._status)
        self._tell()

    def _notice(self) -> None:
        self._unwatch()
        self._reap()
        self._tell()
        if self._ended is None or self._ended.killed_by is None:
            return  # it ended by itself, and its init with it
        for pid in self._rest():
            with self._held(pid) as fd:
                if fd is not None:
                    _kill(fd)

    def _tell(self) -> None:
        news, self._news = self._news, set()
        for tell in news:
            tell()

    def _unwatch(self, *fds: int) -> None:
        for fd in self._watched & set(fds or self._watched):
            self._watched.discard(fd)
            asyncio.get_running_loop().remove_reader(fd)

    def _rest(self) -> list[int]:
        """Return the processes of ours that may have outlived bubblewrap."""
        if self._ended is not None and self._ended.killed_by is not None:
            # It may have been killed before it could tell us of its init.
            return [seen.pid for seen in marker.sightings() if seen.marker.id in self._ids]
        return [] if self._init is None else [self._init]

    @contextmanager
    def _held(self, pid: int) -> Iterator[int | None]:
        """Hold a process by a descriptor; None when it is not, or no longer, one of ours."""
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            yield None
            return
        try:
            found = marker.marker_of(pid)
            yield fd if found is not None and found.id in self._ids else None
        finally:
            os.close(fd)

    def _reap(self) -> None:
        if self._ended is not None:
            return  # by somebody who only asked whether it runs
        found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        if found is None:
            return
        self._hear_now()
        by_itself = found.si_code == os.CLD_EXITED
        self._ended = Ended(
            exit_code=self._exit_code, killed_by=None if by_itself else found.si_status
        )

    def _hear_now(self) -> bool:
        """Take in what bubblewrap has said, one object of JSON a line; False at its end."""
        if self._closed:
            return False
        more = pipes.read_now(self._status)
        if not more:
            return more is None
        *lines, self._said = (self._said + more).split(b"\n")
        for line in map(json.loads, lines):
            self._init = line.get("child-pid", self._init)
            self._exit_code = line.get("exit-code", self._exit_code)
        return True


def _kill(pidfd: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _children(pid: int) -> list[int] | None:
    """Return the children of a process, the oldest first; None when it is no more."""
    try:
        return [int(word) for word in pipes.read_file(f"/proc/{pid}/task/{pid}/children").split()]
    except (FileNotFoundError, ProcessLookupError):
        return None
