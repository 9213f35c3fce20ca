"""A container with the manners of a process, on every engine."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest
from tests.support import programs
from tests.support.harness import Harness, bounded
from tests.support.processes import popen

from wherry.errors import ImageNotFound, ProgramNotFound, UsageError
from wherry.models import Exit, Function, Invocation, Limits
from wherry.process import DEVNULL, PIPE, Process
from wherry.wrappers.deadline import Deadline

if TYPE_CHECKING:
    from tests.support.programs import Program


@bounded
async def test_starting_twice_is_an_error(harness: Harness) -> None:
    process = await popen(harness, programs.TRUE)
    with pytest.raises(UsageError, match="started before"):
        await process.start()
    assert await process.wait() == 0
    with pytest.raises(UsageError, match="started before"):
        await process.start()


@bounded
async def test_waiting_before_the_start_is_an_error(harness: Harness) -> None:
    process = Process(harness.engine, harness.invocation(programs.TRUE))
    for action in (process.wait, process.communicate, process.kill, process.terminate):
        with pytest.raises(UsageError, match="not started"):
            await action()
    assert process.returncode is None
    await process.aclose()


@bounded
async def test_a_program_that_the_image_lacks_is_named(harness: Harness) -> None:
    with pytest.raises(ProgramNotFound, match="no-such-program"):  # noqa: PT012
        process = await popen(harness, programs.NO_SUCH)
        await process.wait()  # where only the attempt tells
    assert await harness.leftovers() == []


@bounded
async def test_a_start_that_fails_leaves_no_container(harness: Harness) -> None:
    function = Function(name="contract", image="no-such-image:0", pull="never")
    process = Process(harness.engine, Invocation(function=function), stdin=PIPE, stdout=PIPE)
    with pytest.raises(ImageNotFound, match="no-such-image"):
        await process.start()
    with pytest.raises(ImageNotFound):
        await process.wait()
    assert process.returncode is None
    assert await harness.leftovers() == []


@pytest.mark.parametrize(
    ("program", "code"),
    [
        (programs.TRUE, 0),
        (programs.FALSE, 1),
        (programs.sh("exit 3"), 3),
        (programs.sh("exit 255"), 255),
    ],
    ids=["true", "false", "3", "255"],
)
@bounded
async def test_the_exit_code_is_the_returncode(
    harness: Harness, program: Program, code: int
) -> None:
    process = await popen(harness, program, stdin=DEVNULL)
    assert await process.wait() == code
    assert process.returncode == process.poll() == code
    assert process.exit == Exit(code)
    assert await process.wait() == code
    assert await harness.leftovers() == []


@bounded
async def test_the_working_directory_is_the_one_asked_for(harness: Harness) -> None:
    program = programs.Program(("pwd",))
    invocation = harness.invocation(program, workdir="/tmp")
    process = Process(harness.engine, invocation, stdout=PIPE)
    await process.start()
    assert await process.communicate() == (b"/tmp\n", None)


@bounded
async def test_the_environment_is_the_one_asked_for(harness: Harness) -> None:
    invocation = harness.invocation(programs.VARIABLES, env={"GREETING": "hi", "NAME": "a b"})
    async with Process(harness.engine, invocation, stdout=PIPE) as process:
        assert process.stdout is not None
        assert await process.stdout.read() == b"hi, a b\n"


@bounded
async def test_the_container_is_gone_after_wait(harness: Harness) -> None:
    for program, code in ((programs.TRUE, 0), (programs.FALSE, 1)):
        process = await popen(harness, program)
        assert await process.wait() == code
        assert process.id not in await harness.ids()
        assert await harness.leftovers() == []


@bounded
async def test_terminate_reaches_the_program(harness: Harness) -> None:
    process = await popen(harness, programs.TRAPS_TERM)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    await process.terminate()
    assert await process.wait() == 5
    await process.terminate()
    await process.send_signal(signal.SIGINT)
    assert await process.stdout.read() == b"stopping\n"


@bounded
async def test_a_limit_on_time_ends_the_process(harness: Harness) -> None:
    invocation = harness.invocation(programs.PARTIAL, limits=Limits(timeout=harness.timeout))
    process = Process(Deadline(harness.engine), invocation, stdout=PIPE, stderr=DEVNULL)
    await process.start()
    assert await process.communicate() == (b"partial\n", None)
    assert process.exit == Exit(137, "timeout")


@bounded
async def test_leaving_the_block_waits_for_the_end(harness: Harness) -> None:
    async with await popen(harness, programs.CAT, stdin=PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"still sent")
    assert process.returncode == 0
    assert process.stdout is not None
    assert await process.stdout.read() == b"still sent"
    assert await harness.leftovers() == []


@bounded
async def test_leaving_the_block_by_an_error_kills(harness: Harness) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with await popen(harness, programs.ENDLESS) as process:
            raise LookupError("mine")
    assert process.exit == Exit(137, "killed")
    assert await harness.leftovers() == []


@bounded
async def test_a_caller_cancelled_while_it_starts_leaves_nothing_behind(harness: Harness) -> None:
    starting = asyncio.create_task(popen(harness, programs.SLEEP))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await harness.leftovers() == []
