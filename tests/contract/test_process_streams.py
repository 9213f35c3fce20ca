"""The streams of a container with the manners of a process: none can block its caller."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from tests.support import programs
from tests.support.harness import Harness, bounded, endless
from tests.support.processes import popen
from tests.support.programs import MIB, Program

from wherry.models import Exit
from wherry.process import DEVNULL, PIPE, STDOUT

if TYPE_CHECKING:
    from pathlib import Path


CHUNK = 64 * 1024


@bounded
async def test_many_lines_without_a_final_newline_pass_through_cat(harness: Harness) -> None:
    text = b"first line\n\nthird line\r\n  the last, without a newline"
    process = await popen(harness, programs.CAT, stdin=PIPE)
    assert await process.communicate(text) == (text, b"")
    assert process.returncode == 0


@bounded
async def test_input_that_is_not_a_pipe_is_a_source(harness: Harness, tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"from a file")
    process = await popen(harness, programs.CAT, stdin=b"from bytes")
    assert await process.communicate() == (b"from bytes", b"")
    with path.open("rb") as file:
        process = await popen(harness, programs.CAT, stdin=file.fileno())
        assert await process.communicate() == (b"from a file", b"")


@bounded
async def test_stdout_and_stderr_never_mix(harness: Harness) -> None:
    process = await popen(harness, programs.OUT_ERR_3)
    assert await process.communicate() == (b"out\n", b"err\n")
    assert process.returncode == 3


@bounded
async def test_combined_output_keeps_its_order(harness: Harness) -> None:
    process = await popen(harness, programs.TAKING_TURNS, stderr=STDOUT)
    assert process.stderr is None
    assert await process.communicate() == (b"one\ntwo\nthree\nfour\n", None)


@bounded
async def test_slow_output_of_both_streams_is_read_live(harness: Harness) -> None:
    process = await popen(harness, programs.TAKING_TURNS)
    assert process.stdout is not None
    assert process.stderr is not None
    assert await process.stdout.readline() == b"one\n"
    assert process.returncode is None
    assert await process.stderr.readline() == b"two\n"
    assert await process.stdout.readline() == b"three\n"
    assert process.returncode is None
    assert await process.stderr.readline() == b"four\n"
    assert await process.stdout.readline() == await process.stderr.readline() == b""
    assert await process.wait() == 0


@bounded
async def test_all_three_streams_are_pipes_at_once(harness: Harness) -> None:
    process = await popen(harness, programs.CAT_THEN_MORE, stdin=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    for number in range(5):
        process.stdin.write(f"{number}\n".encode())
        await process.stdin.drain()
        assert await process.stdout.readline() == f"{number}\n".encode()
    process.stdin.close()
    await process.stdin.wait_closed()
    assert await process.stderr.read() == b"late\n"
    assert await process.stdout.read() == b"after\n"
    assert await process.wait() == 0


@pytest.mark.timeout(180)
async def test_100_mib_of_random_stdin_have_the_same_digest_inside(harness: Harness) -> None:
    local = hashlib.md5()
    async with asyncio.timeout(10 * harness.patience):
        process = await popen(harness, programs.MD5SUM, stdin=PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(100 * MIB // CHUNK):
            chunk = os.urandom(CHUNK)
            local.update(chunk)
            process.stdin.write(chunk)
            await process.stdin.drain()
        process.stdin.close()
        assert (await process.stdout.read()).split() == [local.hexdigest().encode(), b"-"]
        assert await process.wait() == 0


@bounded
async def test_waiting_does_not_deadlock_when_nothing_is_read(harness: Harness) -> None:
    process = await popen(harness, programs.STDERR_FIRST)
    assert await process.wait() == 0
    assert process.stdout is not None
    assert process.stderr is not None
    assert await process.stdout.read() == await process.stderr.read() == bytes(MIB)


@pytest.mark.parametrize("program", [programs.STDERR_FIRST, programs.INTERLEAVED])
@pytest.mark.parametrize("read", ["stdout", "stderr"])
@bounded
async def test_reading_does_not_deadlock_when_the_other_stream_is_not_read(
    harness: Harness, program: Program, read: str
) -> None:
    async with await popen(harness, program) as process:
        reader = process.stdout if read == "stdout" else process.stderr
        assert reader is not None
        assert len(await reader.read()) == MIB


@bounded
async def test_writing_does_not_deadlock_when_nothing_is_read(harness: Harness) -> None:
    process = await popen(harness, programs.CAT, stdin=PIPE)
    assert process.stdin is not None
    for _ in range(8 * MIB // CHUNK):
        process.stdin.write(bytes(CHUNK))
        await process.stdin.drain()
    process.stdin.close()
    assert await process.wait() == 0
    assert process.stdout is not None
    assert await process.stdout.read() == bytes(8 * MIB)


@bounded
async def test_a_program_that_ignores_its_stdin_does_not_block_its_caller(
    harness: Harness,
) -> None:
    process = await popen(harness, programs.HEAD, stdin=PIPE)
    assert await process.communicate(bytes(4 * MIB)) == (bytes(3), b"")
    process = await popen(harness, programs.TRUE, stdin=PIPE)
    assert process.stdin is not None
    with pytest.raises(BrokenPipeError):  # noqa: PT012 - whichever write it is
        while True:
            process.stdin.write(bytes(CHUNK))
            await process.stdin.drain()
    assert await process.wait() == 0


@bounded
async def test_polling_sees_the_end_without_any_reader(harness: Harness) -> None:
    process = await popen(harness, programs.OUT_ERR_3)
    while process.poll() is None:
        await asyncio.sleep(0.01)
    assert process.poll() == 3
    assert await process.communicate() == (b"out\n", b"err\n")


@bounded
async def test_a_caller_that_waits_for_nothing_stops_the_program(harness: Harness) -> None:
    process = await popen(harness, programs.ENDLESS, stderr=DEVNULL)
    await asyncio.sleep(0.3)
    await process.kill()
    await asyncio.sleep(0.2)  # on a busy machine it writes on for a while
    assert process.stdout is not None
    assert len(await process.stdout.read()) <= harness.in_flight + 2 * CHUNK
    assert await process.wait() == 137


@bounded
async def test_a_timeout_of_wait_leaves_the_process_running(harness: Harness) -> None:
    process = await popen(harness, programs.PARTIAL)
    with pytest.raises(subprocess.TimeoutExpired, match=r"timed out after 0\.05 seconds"):
        await process.wait(0.05)
    assert process.returncode is None
    await process.kill()
    assert await process.wait() == 137
    assert process.exit == Exit(137, "killed")


@bounded
async def test_nothing_is_lost_by_a_timeout_of_communicate(harness: Harness) -> None:
    process = await popen(harness, programs.CAT_THEN_MORE, stdin=endless())
    with pytest.raises(subprocess.TimeoutExpired):
        await process.communicate(timeout=0.02)
    await process.kill()
    await process.communicate()
    process = await popen(harness, programs.PARTIAL)
    with pytest.raises(subprocess.TimeoutExpired):
        await process.communicate(timeout=harness.timeout)
    await process.kill()
    assert await process.communicate() == (b"partial\n", b"trouble\n")


@bounded
async def test_a_cancelled_read_loses_nothing(harness: Harness) -> None:
    process = await popen(harness, programs.CAT, stdin=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"half")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await process.stdout.readline()
    process.stdin.write(b" a line\nand more")
    assert await process.stdout.readline() == b"half a line\n"
    assert await process.communicate() == (b"and more", b"")


@bounded
async def test_output_goes_to_descriptors_and_files(harness: Harness, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("w") as err:
        process = await popen(harness, programs.OUT_ERR_3, stdout=out.fileno(), stderr=err)
        assert process.stdout is process.stderr is None
        assert await process.wait() == 3
    assert (tmp_path / "out").read_text() == "out\n"
    assert (tmp_path / "err").read_text() == "err\n"


@bounded
async def test_an_error_of_the_source_comes_out_of_every_read_and_wait(harness: Harness) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"something"
        raise LookupError("no more")

    process = await popen(harness, programs.CAT, stdin=failing())
    with pytest.raises(LookupError, match="no more"):
        await process.wait()
    assert process.stdout is not None
    with pytest.raises(LookupError, match="no more"):
        await process.stdout.read()
    with pytest.raises(LookupError, match="no more"):
        process.poll()
    assert await harness.leftovers() == []
