"""One sandbox's processes: what they say of themselves, how they end and are ended."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from wherry.engines.local import marker, pipes, renaming
from wherry.errors import EngineError

_ENDING = 10.0
"""Seconds the kernel gets to end what was killed, before we say that it did not."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How bubblewrap ended. ``exit_code`` is None when it never started the program."""

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
        self._hearing = asyncio.Lock()
        self._noticed = asyncio.Event()
        self._ended: Ended | None = None
        self._watched = False

    async def init_pid(self) -> int | None:
        """Return the host pid of the sandbox's init, None when it ended before it had one."""
        async with self._hearing:
            while b"\n" not in self._said and await self._hear():
                pass
        for line in self._lines():
            if "child-pid" in line:
                return line["child-pid"]
        return None

    def expect_call(self) -> None:
        """Do beforehand what :meth:`rename` needs, once the sandbox has its init."""
        self._place = renaming.place_of_id(self.pid, id=self._ids[-1])

    def rename(self, id: str) -> None:  # noqa: A002
        """Carry the id of a call, which this sandbox was made before."""
        init = self._init_pid_now()
        if init is not None and self._place is not None:
            renaming.rename((self.pid, init), self._place, old=self._ids[-1], new=id)
        self._ids += (id,)

    def is_running(self) -> bool:
        """Whether bubblewrap has not ended, as far as can be seen without waiting."""
        if self._ended is None:
            self._reap()
        return self._ended is None

    def release(self) -> None:
        """Let a held sandbox go on to its program."""
        if self._hold is not None:
            os.close(self._hold)
            self._hold = None

    async def wait(self) -> Ended:
        """Wait for the end of bubblewrap, and reap it."""
        while self._ended is None:
            self.watch()
            await self._noticed.wait()
        return self._ended

    def watch(self) -> None:
        """End what outlives bubblewrap as soon as it has ended, so that its output ends too.

        Its init dies with it, but for the first milliseconds, when that is not yet arranged.
        """
        if not self._watched and self._ended is None:
            self._watched = True
            asyncio.get_running_loop().add_reader(self._pidfd, self._notice)

    def send(self, number: int) -> bool:
        """Send a signal to the program; False when there is none: not started yet, or ended."""
        if self._ended is None and (init := self._init_pid_now()) is not None:
            for pid in _children(init):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                    return True
        return False

    async def kill(self) -> None:
        """Kill everything in the sandbox, through its init: the kernel ends the rest with it."""
        init = await self.init_pid()
        if self._ended is not None:
            return
        # Bubblewrap is alive and has not reaped its init: the pid is its own.
        with suppress(ProcessLookupError):
            os.kill(init or self.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End what still runs, wait until it has, and free the descriptors."""
        try:
            async with asyncio.timeout(_ENDING):
                if self._ended is None:
                    await self.kill()
                    self.release()
                    await self.wait()
                await self._rest_gone()
        except TimeoutError as error:
            raise EngineError(
                f"container {self._ids[-1]} did not end within {_ENDING:g} s of its kill"
            ) from error
        finally:
            self.release()
            self._unwatch()
            os.close(self._pidfd)
            os.close(self._status)

    async def _rest_gone(self) -> None:
        """Bubblewrap ends a moment before its init, which it does not wait for."""
        for pid in self._rest():
            with self._held(pid) as fd:
                if fd is None:
                    continue
                _kill(fd)
                await pipes.wait_readable([fd])
                # As pid 1 of a container we inherit it, and nobody else would reap it.
                with suppress(ChildProcessError):
                    os.waitid(os.P_PIDFD, fd, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222

    def _notice(self) -> None:
        self._unwatch()
        self._reap()
        self._noticed.set()
        if self._ended is None or self._ended.killed_by is None:
            return  # it ended by itself, and its init with it
        for pid in self._rest():
            with self._held(pid) as fd:
                if fd is not None:
                    _kill(fd)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            asyncio.get_running_loop().remove_reader(self._pidfd)

    def _rest(self) -> list[int]:
        """Return the processes of ours that may have outlived bubblewrap."""
        if self._ended is not None and self._ended.killed_by is not None:
            # It may have been killed before it could tell us of its init.
            return [seen.pid for seen in marker.sightings() if seen.marker.id in self._ids]
        init = self._init_pid_now()
        return [] if init is None else [init]

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
        codes = [line["exit-code"] for line in self._lines() if "exit-code" in line]
        self._ended = Ended(
            exit_code=codes[0] if codes else None,
            killed_by=None if by_itself else found.si_status,
        )

    def _init_pid_now(self) -> int | None:
        self._hear_now()
        return next((line["child-pid"] for line in self._lines() if "child-pid" in line), None)

    async def _hear(self) -> bool:
        await pipes.wait_readable([self._status])
        return self._hear_now()

    def _hear_now(self) -> bool:
        more = pipes.read_now(self._status)
        self._said += more or b""
        return more != b""

    def _lines(self) -> list[dict[str, int]]:
        return [json.loads(line) for line in self._said.split(b"\n")[:-1]]


def _kill(pidfd: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [int(word) for word in words[:1]]
