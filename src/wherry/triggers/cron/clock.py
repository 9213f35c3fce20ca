"""The clock that schedules go by: waits end at a moment of the wall clock, even if it is set."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from typing import Protocol

_REALTIME = 0
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
_ABSTIME, _CANCEL_ON_SET = 1, 2


class Clock(Protocol):
    """Tells the time, and waits for it. Times are Unix seconds."""

    def now(self) -> float:
        """Return this moment."""
        ...

    async def until(self, moment: float | None, changed: asyncio.Event) -> None:
        """Wait for a moment (None: for ever), for ``changed``, or until the clock is set."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds."""
        ...


class _Timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("interval", _Timespec), ("value", _Timespec)]


class WallClock:
    """The machine's own. A timer of the kernel wakes us, which also tells when it was set.

    https://man7.org/linux/man-pages/man2/timerfd_create.2.html (``TFD_TIMER_CANCEL_ON_SET``);
    ``os.timerfd_create`` can take the place of this with Python 3.13.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(_REALTIME, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "there is no timer")

    def now(self) -> float:
        """See :class:`Clock`."""
        return time.time()

    async def until(self, moment: float | None, changed: asyncio.Event) -> None:
        """See :class:`Clock`."""
        if changed.is_set() or (moment is not None and moment <= self.now()):
            return
        loop = asyncio.get_running_loop()
        self._set(moment)
        loop.add_reader(self._fd, self._rang, changed)
        try:
            await changed.wait()
        finally:
            loop.remove_reader(self._fd)

    async def sleep(self, seconds: float) -> None:
        """See :class:`Clock`."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Give the timer back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _rang(self, changed: asyncio.Event) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            return
        except OSError:  # ECANCELED: somebody has set the clock
            pass
        changed.set()

    def _set(self, moment: float | None) -> None:
        far = self.now() + 10 * 366 * 86400 if moment is None else moment
        nanoseconds = max(1, int(far * 1e9))
        asked = _Itimerspec()
        asked.value = _Timespec(nanoseconds // 10**9, nanoseconds % 10**9)
        flags = _ABSTIME | _CANCEL_ON_SET
        if self._libc.timerfd_settime(self._fd, flags, ctypes.byref(asked), None) < 0:
            raise OSError(ctypes.get_errno(), "the timer cannot be set")
