"""Accidents, one function each: ``python -m tests.chaos.scenarios NAME HOME``, as whoever it is.

Each leaves the ground clean, or raises what it found.
"""

from __future__ import annotations

import asyncio
import ctypes
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.ground import MIB, TOKEN, Remains, engine, once, processes_with, run, shell

from wherry.errors import EngineError, WherryError
from wherry.images.rootfs_import import import_rootfs
from wherry.models import Collect, Exit, Output

if TYPE_CHECKING:
    from wherry.engines.local.engine import LocalEngine

Scenario = Callable[[Path], Awaitable[None]]
_CLONE_NEWNS, _CLONE_NEWUSER, _MS_REC, _MS_PRIVATE = 0x20000, 0x10000000, 0x4000, 0x40000


_CALLS_AT_ONCE = 5


async def bubblewrap_is_killed(home: Path) -> None:
    """Killed alone, at any moment of its life: an error, and nothing stays."""
    await _kill_one(home, which=0, moments=[ms / 1000 for ms in range(14)] * 3 + [0.2, 0.2])


async def init_is_killed(home: Path) -> None:
    """The sandbox's pid 1 alone."""
    await _kill_one(home, which=1, moments=[0.005, 0.01, 0.02, 0.05, 0.2])


async def launcher_is_killed(home: Path) -> None:
    """In its first millisecond, before it is bubblewrap."""
    await _kill_one(home, which=0, moments=[i / 10_000 for i in range(10)] * 3)


async def _kill_one(home: Path, *, which: int, moments: list[float]) -> None:
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)
    for moment in moments:
        invocation = shell("echo started; sleep 20")
        begun = time.perf_counter()
        ended: object = None
        try:
            async with asyncio.timeout(10), on.start(invocation, once()) as container:
                await asyncio.sleep(moment)
                pids = [container.sandbox.pid, await container.sandbox.init_pid()]
                _kill(pids[which])
                async for event in container:
                    ended = event
        except EngineError as error:
            ended = error
        assert isinstance(ended, EngineError) or (
            isinstance(ended, Exit) and ended.code in (137, None)
        ), f"killed after {moment} s: {ended!r}"
        assert time.perf_counter() - begun < moment + 2, "the end was not noticed"
        await _assert_clean(remains, on)
    await on.aclose()


def _kill(pid: int | None) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def caller_is_terminated(home: Path) -> None:
    """SIGTERM, SIGHUP, SIGQUIT to a caller that handles none of them.

    Its sandboxes end with it, but for those that are in bubblewrap's first milliseconds, where
    its own child has no death signal yet: these are the reaper's.
    """
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        command = [sys.executable, "-m", "tests.chaos.worker", str(home), str(_CALLS_AT_ONCE)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        remains.callers.add(process.pid)
        assert process.stdout is not None
        while b"d" not in os.read(process.stdout.fileno(), 64):
            pass
        await asyncio.sleep(random.uniform(0.1, 0.3))
        process.send_signal(number)
        process.communicate()
        await _within(0.5, lambda: not _alive(remains))
        assert len(on.reap().containers) <= _CALLS_AT_ONCE, "more were left than were starting"
        assert _alive(remains) == []
    await _assert_clean(remains, on)
    await on.aclose()


def _alive(remains: Remains) -> list[str]:
    from wherry.engines.local import marker

    seen = marker.sightings()
    return [one.marker.id for one in seen if one.marker.owner.pid in remains.callers]


async def _within(seconds: float, holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


async def disk_is_full(home: Path) -> None:
    """The data directory's disk has no room: calls go on, what needs room fails and says so."""
    _small_disk(home / "data", 8 * MIB)
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)
    ballast = home / "data" / "ballast"
    _fill(ballast)
    out, end = await run(on, shell("echo y >/tmp/y; head -c 3000000 /dev/zero >/big; cat /tmp/y"))
    assert (out, end.code) == (b"y\n", 0), "a call does not write to the data directory"
    error = _raised(lambda: import_rootfs(on.store, io.BytesIO(_large_tar()), reference="other"))
    assert isinstance(error, WherryError), f"a full disk is {error!r}"
    assert on.store.find("other") is None
    await _collect_to_a_full_disk(on, home / "data" / "collected")
    ballast.unlink()
    out, end = await run(on, shell("echo on"))
    assert out == b"on\n"
    left = [one for one in remains.find(on) if "/collected" not in one and "mount in" not in one]
    assert left == [], left
    await on.aclose()


async def _collect_to_a_full_disk(on: LocalEngine, to: Path) -> None:
    invocation = shell("mkdir /out; head -c 3000000 /dev/zero >/out/big")
    function = replace(invocation.function, collect=(Collect(path="/out", to=str(to)),))
    try:
        await run(on, replace(invocation, function=function))
    except EngineError as error:
        assert "No space left" in str(error), error  # noqa: PT017
    else:
        raise AssertionError("three megabytes were copied to a full disk")


def _large_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("large")
        entry.size = 4 * MIB
        tar.addfile(entry, io.BytesIO(random.randbytes(entry.size)))
    return buffer.getvalue()


def _raised(action: Callable[[], object]) -> Exception | None:
    try:
        action()
    except Exception as error:
        return error
    return None


def _small_disk(path: Path, size: int) -> None:
    """Mount a small file system that only this process and its children see."""
    path.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNS if uid == 0 else _CLONE_NEWNS | _CLONE_NEWUSER
    _check(libc.unshare(flags))
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _check(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    options = f"size={size},mode=755".encode()
    _check(libc.mount(b"small", os.fsencode(path), b"tmpfs", 0, options))


def _check(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


async def two_hundred_at_once(home: Path) -> None:
    """All of them at the same time, each with its own input and output."""
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)

    async def one(number: int) -> None:
        said, end = await run(on, shell("read x; sleep 0.3; echo $x"), b"%d\n" % number)
        assert (said, end.code) == (b"%d\n" % number, 0)

    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(one(number))
    await _assert_clean(remains, on)
    await on.aclose()


async def reader_is_slow(home: Path) -> None:
    """The writer waits, and neither is there more memory in use nor is a byte lost."""
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)
    total, size = 0, 24 * MIB
    before = _resident()
    async with on.start(shell(f"head -c {size} /dev/zero; echo done >&2"), once()) as container:
        async for event in container:
            if isinstance(event, Output) and event.stream == "stdout":
                total += len(event.data)
                await asyncio.sleep(0.002)
    assert total == size
    assert _resident() - before < 8 * MIB, "what was not read was kept"
    await _assert_clean(remains, on)
    await on.aclose()


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def caller_leaves_early(home: Path) -> None:
    """Out of the block, or cancelled, at any moment from before the start on."""
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)

    async def leave(moment: float, how: int) -> None:
        async with on.start(shell("cat; sleep 20 & sleep 20"), once(bytes(MIB))) as container:
            if how == 0:
                await asyncio.sleep(moment)
            elif how == 1:
                raise LookupError
            else:
                async for _ in container:
                    break

    for turn in range(60):
        moment = random.uniform(0, 0.03)
        task = asyncio.create_task(leave(moment, turn % 3))
        if turn % 2:
            await asyncio.sleep(moment)
            task.cancel()
        with suppress(asyncio.CancelledError, LookupError):
            await task
    await _assert_clean(remains, on)
    await on.aclose()


async def interpreter_ends(home: Path) -> None:
    """A caller that just exits, with calls running and the engine not closed."""
    on = engine(home)
    await run(on, shell("true"))
    remains = Remains(home)
    script = (
        "import asyncio, os, sys; from pathlib import Path\n"
        "from tests.chaos.ground import *\n"
        "async def main():\n"
        "  async with engine(Path(sys.argv[1])).start(shell('sleep 20'), once()): os._exit(0)\n"
        "asyncio.run(main())"
    )
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script, str(home)])
        remains.callers.add(process.pid)
        process.wait()
    on.reap()
    await _assert_clean(remains, on)
    await on.aclose()


async def _assert_clean(remains: Remains, on: LocalEngine) -> None:
    await on.settled()
    left = remains.find(on)
    assert left == [], left


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        bubblewrap_is_killed,
        init_is_killed,
        launcher_is_killed,
        caller_is_terminated,
        disk_is_full,
        two_hundred_at_once,
        reader_is_slow,
        caller_leaves_early,
        interpreter_ends,
    )
}

if __name__ == "__main__":
    asyncio.run(SCENARIOS[sys.argv[1]](Path(sys.argv[2])))  # type: ignore[arg-type]
    assert processes_with(TOKEN) == []
