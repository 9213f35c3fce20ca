"""A pool of ready containers on the real local engine: who gets what, and when it goes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.local_calls import Calls, function_of
from tests.support.local_harness import of_this_engine
from tests.support.ready_harness import many_descriptors

from wherry import streams
from wherry.errors import EngineError, UsageError
from wherry.models import Exit, File, Function, Invocation, Ready, Secret
from wherry.wrappers.deadline import Deadline
from wherry.wrappers.pool import Pool

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def pooled(calls: Calls) -> AsyncIterator[Pool]:
    pool = Pool(calls.engine)
    try:
        yield pool
    finally:
        await pool.aclose()
    assert of_this_engine(calls.engine) == []


async def until_ready(pool: Pool, name: str, number: int) -> None:
    """Wait until so many wait; a pool says it to nobody, so ask again."""
    async with asyncio.timeout(20):
        while pool.stats[name].ready < number:
            await asyncio.sleep(0.01)


async def test_each_call_has_a_container_of_its_own(calls: Calls) -> None:
    function = function_of("sh", "-c", "cat /tmp/seen 2>/dev/null; echo $1 > /tmp/seen; cat", "sh",
                           ready=Ready(min=3, max=3))  # fmt: skip
    async with pooled(calls) as pool:
        await pool.prepare(function)
        for number in range(12):
            await until_ready(pool, "test", 1)
            invocation = Invocation(function=function, args=(str(number),))
            async with pool.start(invocation, streams.source(f"in {number}")) as container:
                result = await streams.collect(container)
            assert (result.stdout.decode(), result.exit) == (f"in {number}", Exit(0))
        stats = pool.stats["test"]
        assert (stats.hits, stats.misses) == (12, 0)


async def test_an_older_image_is_never_served(calls: Calls) -> None:
    image = calls.image("moving", add={"version": b"one\n"})
    function = function_of("cat", "/version", image=image, ready=Ready(min=2, max=2))
    async with pooled(calls) as pool:
        await pool.prepare(function)
        assert await said(pool, function) == b"one\n"
        await until_ready(pool, "test", 2)
        calls.image("moving", add={"version": b"two\n"})
        assert await said(pool, function) == b"two\n"
        assert await said(pool, function) == b"two\n"
        await until_ready(pool, "test", 2)
        hits = pool.stats["test"].hits
        assert await said(pool, function) == b"two\n"
        assert pool.stats["test"].hits == hits + 1


async def test_an_older_secret_or_file_is_never_served(calls: Calls, tmp_path: Path) -> None:
    secret, file = tmp_path / "secret", tmp_path / "file"
    secret.write_text("old secret\n")
    file.write_text("old file\n")
    function = function_of(
        "cat", "/run/secrets/key", "/in",
        secrets=(Secret(name="key", path=str(secret)),),
        files=(File(target="/in", source=str(file)),), ready=Ready(min=1, max=1),
    )  # fmt: skip
    async with pooled(calls) as pool:
        await pool.prepare(function)
        assert await said(pool, function) == b"old secret\nold file\n"
        await until_ready(pool, "test", 1)
        secret.write_text("new secret\n")
        assert await said(pool, function) == b"new secret\nold file\n"
        await until_ready(pool, "test", 1)
        renamed = tmp_path / "renamed"
        renamed.write_text("new file\n")
        os.utime(renamed, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
        renamed.rename(file)
        assert await said(pool, function) == b"new secret\nnew file\n"
        secret.unlink()
        with pytest.raises(UsageError, match="cannot be read"):
            await said(pool, function)


async def test_a_newer_definition_is_served_at_once(calls: Calls) -> None:
    old = function_of("echo", "old", ready=Ready(min=2, max=2))
    new = replace(old, command=("echo", "new"))
    async with pooled(calls) as pool:
        await pool.prepare(old)
        assert await said(pool, new) == b"new\n"
        await pool.prepare(new)
        assert pool.stats["test"].ready == 2
        assert await said(pool, new) == b"new\n"
        assert (pool.stats["test"].hits, pool.stats["test"].misses) == (1, 1)


async def test_what_dies_while_it_waits_is_replaced(calls: Calls) -> None:
    function = function_of("echo", "well", ready=Ready(min=1, max=1))
    async with pooled(calls) as pool:
        await pool.prepare(function)
        (waiting,) = of_this_engine(calls.engine)
        os.kill(waiting.pids[0], signal.SIGKILL)
        async with asyncio.timeout(20):
            while {found.marker.id for found in of_this_engine(calls.engine)} <= {
                waiting.marker.id
            }:
                await asyncio.sleep(0.01)
        await until_ready(pool, "test", 1)
        assert await said(pool, function) == b"well\n"
        assert pool.stats["test"].misses == 0


async def test_a_call_right_after_its_container_was_killed_is_served_or_told_so(
    calls: Calls,
) -> None:
    """Never the end of what waited for it: that is an error, unless the call had begun."""
    function = function_of("echo", "well", ready=Ready(min=1, max=1))
    async with pooled(calls) as pool:
        await pool.prepare(function)
        for place in (0, -1) * 5:
            await until_ready(pool, "test", 1)
            for found in of_this_engine(calls.engine):
                os.kill(found.pids[place], signal.SIGKILL)
            try:
                async with pool.start(Invocation(function=function), streams.NOTHING) as container:
                    result = await streams.collect(container)
            except EngineError as error:
                assert re.search("ended|killed", str(error))  # noqa: PT017
            else:
                assert result.exit in (Exit(0), Exit(137, "signal"))
            await until_ready(pool, "test", 1)
            assert await said(pool, function) == b"well\n"


async def test_a_program_that_never_waits_does_not_keep_the_machine_busy(calls: Calls) -> None:
    function = function_of("true", ready=Ready(min=2, max=2, level="started"))
    async with pooled(calls) as pool:
        await pool.prepare(function)
        await asyncio.sleep(1.5)
        assert pool.stats["test"].prepared <= 12


async def test_deadlines_count_from_the_call(calls: Calls) -> None:
    function = function_of("sh", "-c", "echo early; sleep 60", timeout=1.0, ready=Ready(max=1))
    async with pooled(calls) as pool:
        await pool.prepare(function)
        await asyncio.sleep(1.2)
        async with Deadline(pool).start(Invocation(function=function), streams.NOTHING) as running:
            result = await streams.collect(running)
        assert (result.stdout, result.exit) == (b"early\n", Exit(137, "timeout"))
        assert pool.stats["test"].hits == 1


@pytest.mark.timeout(240)
async def test_200_calls_at_once_each_get_their_own_answer_from_a_pool(calls: Calls) -> None:
    function = function_of("cat", ready=Ready(min=4, max=16))

    async def one(pool: Pool, number: int) -> None:
        text = f"call {number}\n" * 100
        async with pool.start(Invocation(function=function), streams.source(text)) as container:
            result = await streams.collect(container)
        assert (result.stdout.decode(), result.exit) == (text, Exit(0))

    with many_descriptors():
        async with pooled(calls) as pool:
            await pool.prepare(function)
            await asyncio.gather(*(one(pool, number) for number in range(200)))
            stats = pool.stats["test"]
            assert stats.hits + stats.misses == 200
            assert stats.hits >= 4


OWNER = """
import asyncio, sys
from pathlib import Path
from tests.support.local_calls import calls_on, function_of
from wherry.models import Ready
from wherry.wrappers.pool import Pool

async def main():
    async with calls_on(Path(sys.argv[1])) as calls:
        pool = Pool(calls.engine)
        for level in ("created", "started"):
            ready = Ready(min=3, max=3, level=level)
            await pool.prepare(function_of("cat", name=level, ready=ready))
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_owner_leaves_no_ready_container(calls: Calls) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(calls.data), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    assert await owner.stdout.readline() == b"ready\n"
    assert len(owned_by(calls, owner.pid)) == 6
    owner.kill()
    await owner.wait()
    calls.engine.reap()
    assert owned_by(calls, owner.pid) == []
    assert not calls.engine.cgroups.find(f"{owner.pid}-")


def owned_by(calls: Calls, pid: int) -> list[str]:
    return [found.marker.id for found in calls.engine.running() if found.marker.owner.pid == pid]


async def test_closing_a_pool_ends_all_that_waits_and_all_that_is_being_made(
    calls: Calls,
) -> None:
    function = function_of("cat", ready=Ready(min=8, max=8))
    pool = Pool(calls.engine)
    preparing = asyncio.create_task(pool.prepare(function))
    while len(of_this_engine(calls.engine)) < 3:
        await asyncio.sleep(0.005)
    await pool.aclose()
    await preparing
    assert of_this_engine(calls.engine) == []


async def said(pool: Pool, function: Function) -> bytes:
    async with pool.start(Invocation(function=function), streams.NOTHING) as container:
        result = await streams.collect(container)
    assert result.exit == Exit(0)
    return result.stdout
