"""A local engine in callers that have lived long, or live oddly."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.local_calls import Calls

from wherry import streams
from wherry.errors import EngineError
from wherry.models import Exit

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
async def test_a_thousand_calls_leave_no_descriptor_and_no_memory(calls: Calls) -> None:
    async def several(number: int) -> None:
        for index in range(number):
            result = await calls.run("cat", stdin=streams.source(f"call {index}"))
            assert result.stdout.decode() == f"call {index}"

    await several(200)
    await calls.engine.settled()
    fds, memory = open_files(), resident_memory()
    await several(800)
    await calls.engine.settled()
    assert open_files() == fds
    assert resident_memory() - memory < 4 << 20


@pytest.mark.timeout(240)
async def test_failed_starts_leave_no_descriptor_either(calls: Calls) -> None:
    async def failing() -> None:
        with pytest.raises(Exception, match="no program"):
            await calls.run("no-such")
        with pytest.raises(Exception, match="too long"):
            await calls.run("echo", "x" * 200_000)

    await failing()
    await calls.engine.settled()
    fds = open_files()
    for _ in range(30):
        await failing()
    await calls.engine.settled()
    assert open_files() == fds


@contextmanager
def few_descriptors_left(number: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    held: list[int] = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        while number and held:
            os.close(held.pop())
            number -= 1
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_too_few_descriptors_are_an_engine_error_and_leave_none_behind(
    calls: Calls,
) -> None:
    await calls.run("true")
    await calls.engine.settled()
    before, refused = open_files(), 0
    for number in range(1, 24):
        try:
            with few_descriptors_left(number):
                result = await calls.run("echo", "done")
        except EngineError as error:
            assert "Too many open files" in str(error)  # noqa: PT017
            refused += 1
        else:
            assert result.exit == Exit(0)
        await calls.engine.settled()
        assert open_files() == before, number
    assert refused >= 5


SCRIPT = """
import asyncio, os, sys
os.closerange(0, 3)
from tests.support.local_calls import calls_on
from wherry import streams
from pathlib import Path

async def main():
    async with calls_on(Path(sys.argv[1]), compiled_launcher=sys.argv[3] == "compiled") as calls:
        for number in range(3):
            script = "cat; echo err >&2; ls /proc/self/fd"
            result = await calls.sh(script, stdin=streams.source("in"))
            seen.append((result.stdout, result.stderr, result.exit.code))

seen = []
try:
    asyncio.run(main())
except BaseException as error:
    seen.append(repr(error))
Path(sys.argv[2]).write_text(repr(seen))
"""


@pytest.mark.parametrize("launcher", ["compiled", "Python"])
async def test_a_caller_without_standard_streams_can_call(
    local_data: Path, tmp_path: Path, launcher: str
) -> None:
    said = tmp_path / "said"
    command = [sys.executable, "-c", SCRIPT, str(local_data), str(said), launcher]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
    expected = (b"in0\n1\n2\n3\n", b"err\n", 0)
    assert said.read_text() == repr([expected] * 3)


async def test_calls_in_several_threads_with_loops_of_their_own(local_data: Path) -> None:
    def call(number: int) -> bytes:
        from tests.support.local_calls import calls_on

        async def one() -> bytes:
            async with calls_on(local_data) as calls:
                outputs = [await calls.run("echo", str(number)) for _ in range(3)]
                return b"".join(output.stdout for output in outputs)

        return asyncio.run(one())

    numbers = range(6)
    said = await asyncio.gather(*(asyncio.to_thread(call, number) for number in numbers))
    assert said == [f"{number}\n".encode() * 3 for number in numbers]


async def test_an_engine_survives_a_change_of_loops(local_data: Path) -> None:
    from tests.support.local_harness import local_settings

    from wherry.engines.local.engine import LocalEngine

    def calls() -> list[bytes]:
        engine = LocalEngine(local_settings(local_data))
        said = [asyncio.run(Calls(engine, local_data).run("echo", "x")).stdout for _ in range(3)]
        asyncio.run(engine.aclose())
        return said

    assert await asyncio.to_thread(calls) == [b"x\n"] * 3


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_memory() -> int:
    """Return bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
