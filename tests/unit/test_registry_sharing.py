"""Work that is shared, blocking calls beside the loop, and progress."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wherry.images.flights import Flights
from wherry.images.progress import LayerProgress, shown
from wherry.images.threads import detached, entered, in_thread

DIGEST = "sha256:" + "0123456789ab" + "c" * 52


async def test_work_under_way_is_joined_and_done_once() -> None:
    flights: Flights[object] = Flights()
    go = asyncio.Event()
    started = 0

    async def work() -> object:
        nonlocal started
        started += 1
        await go.wait()
        return object()

    tasks = [asyncio.create_task(flights.join("key", work)) for _ in range(5)]
    await asyncio.sleep(0)
    go.set()
    results = await asyncio.gather(*tasks)
    assert started == 1
    assert len(set(map(id, results))) == 1
    await flights.join("key", work)
    assert started == 2, "what is over is not joined"


async def test_a_cancelled_caller_leaves_the_work_to_the_others() -> None:
    flights: Flights[str] = Flights()
    go = asyncio.Event()

    async def work() -> str:
        await go.wait()
        return "done"

    one, two = (asyncio.create_task(flights.join("key", work)) for _ in range(2))
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    go.set()
    assert await two == "done"


async def test_the_last_caller_takes_the_work_along() -> None:
    flights: Flights[None] = Flights()
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    tasks = [asyncio.create_task(flights.join("key", work)) for _ in range(2)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert ended.is_set()


async def test_an_error_reaches_every_caller() -> None:
    flights: Flights[None] = Flights()

    async def work() -> None:
        await asyncio.sleep(0)
        raise ValueError("no")

    tasks = [asyncio.create_task(flights.join("key", work)) for _ in range(2)]
    await asyncio.wait(tasks)
    assert [str(task.exception()) for task in tasks] == ["no", "no"]


async def test_a_cancelled_short_call_is_waited_for() -> None:
    begun, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    ended = False

    def call() -> None:
        nonlocal ended
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        ended = True

    task = asyncio.create_task(in_thread(call))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended


async def test_a_long_call_is_not_waited_for_and_undone_later() -> None:
    begun, undone = asyncio.Event(), asyncio.Event()
    go = threading.Event()
    loop = asyncio.get_running_loop()

    def call() -> str:
        loop.call_soon_threadsafe(begun.set)
        go.wait(10)
        return "late"

    def undo(value: str) -> None:
        assert value == "late"
        loop.call_soon_threadsafe(undone.set)

    task = asyncio.create_task(detached(call, undo=undo))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not undone.is_set()
    go.set()
    await asyncio.wait_for(undone.wait(), 10)


async def test_a_long_call_returns_or_raises_as_itself() -> None:
    assert await detached(lambda: 1, undo=lambda value: None) == 1
    with pytest.raises(ZeroDivisionError):
        await detached(lambda: 1 // 0, undo=lambda value: None)


async def test_a_block_is_left_with_the_error_it_ended_with() -> None:
    seen: list[object] = []

    @contextmanager
    def block() -> Iterator[str]:
        try:
            yield "value"
        except ValueError as error:
            seen.append(error)
            raise
        finally:
            seen.append("left")

    async with entered(block()) as value:
        assert value == "value"
    assert seen == ["left"]
    with pytest.raises(ValueError, match="mine"):
        async with entered(block()):
            raise ValueError("mine")
    assert len(seen) == 3


def pulled(stream: io.StringIO, *, quiet: bool = False) -> str:
    with shown("busybox", stream=stream, quiet=quiet) as progress:
        for state in ("waiting", "downloading", "extracting", "done"):
            progress(LayerProgress(DIGEST, state, 3 << 20, 3 << 20))
    return stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_one_line_for_a_layer() -> None:
    assert pulled(io.StringIO()) == "busybox: layer 0123456789ab 3 MiB\n"


def test_quiet_is_quiet_on_a_terminal_too() -> None:
    assert pulled(Terminal(), quiet=True) == ""


def test_a_terminal_gets_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    text = pulled(Terminal())
    assert "Pulling busybox" in text
    assert "0123456789ab" in text
    assert "done" in text


def test_importing_the_pull_loads_neither_aiohttp_nor_rich() -> None:
    script = "import sys, wherry.images.pull; print({'aiohttp', 'rich'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": os.defpath},
        timeout=30,
        check=True,
    )
    assert done.stdout == "set()\n"
