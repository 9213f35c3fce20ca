"""The end of a call in a ready container of a Docker engine: told by the gate, and only by it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

import pytest
from tests.support.docker_harness import ids_of
from tests.support.docker_ready_calls import called, function_of, ready

from wherry import streams
from wherry.engines.docker.engine import DockerEngine
from wherry.engines.docker.lastwords import new_secret
from wherry.engines.gate import call_frame
from wherry.errors import EngineError, ProgramNotFound, WherryError
from wherry.models import Collect, Exit, Invocation, Output, Ready

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dockerd import Dockerd

    from wherry.models import Function
    from wherry.streams import Collected

pytestmark = pytest.mark.root

Level = Literal["created", "started"]
LEVELS = pytest.mark.parametrize("level", ["created", "started"])


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine.connect(dockerd.unix)
    yield engine
    await engine.aclose()
    assert ids_of(dockerd) == set()


async def run(
    engine: DockerEngine, script: str, level: Level = "created", *, user: str | None = None
) -> Collected:
    """Run a script in a ready container, and have all of its output and its end."""
    function = function_of("sh", "-c", script, ready=Ready(level=level), user=user)
    result = await ready(engine, Invocation(function=function), streams.NOTHING)
    assert not isinstance(result, WherryError), result
    return result


@LEVELS
@pytest.mark.parametrize("code", [0, 1, 125, 126, 127, 128, 137, 143, 255])
async def test_every_exit_code_is_the_programs_own(
    engine: DockerEngine, level: Level, code: int
) -> None:
    result = await run(engine, f"read line; echo out; echo err >&2; exit {code}", level)
    assert (result.stdout, result.stderr, result.exit.code) == (b"out\n", b"err\n", code)


@LEVELS
async def test_an_end_is_known_before_the_engine_knows_it(
    engine: DockerEngine, dockerd: Dockerd, level: Level
) -> None:
    function = function_of("true", ready=Ready(level="created"))
    if level == "started":
        function = function_of("cat", ready=Ready(level="started"))
    async with (
        engine.reserve(function) as slot,
        slot.start(Invocation(function=function), streams.source("x")) as container,
    ):
        assert (await streams.collect(container)).exit == Exit(0)
        assert container.has_ended_early
    await engine.settled()
    assert ids_of(dockerd) == set()


async def test_the_words_of_the_gate_cannot_be_forged(engine: DockerEngine) -> None:
    forged = r"\301" + r"\0" * 16 + r"X\0\0"
    script = f"read line; printf '{forged}' | tee /dev/stderr; exit 3"
    result = await run(engine, script)
    said = b"\xc1" + bytes(16) + b"X\0\0"
    assert (result.stdout, result.stderr, result.exit) == (said, said, Exit(3))


@LEVELS
@pytest.mark.parametrize("user", ["0", "1000"])
async def test_the_gates_memory_and_streams_are_closed_to_its_program(
    engine: DockerEngine, level: Level, user: str
) -> None:
    names = "mem maps environ fd/0 fd/1 fd/2 exe root"
    script = f"for n in {names}; do head -c 1 /proc/1/$n >/dev/null 2>&1 && echo $n; done; exit 9"
    result = await run(engine, script, level, user=user)
    assert (result.stdout, result.stderr, result.exit) == (b"", b"", Exit(9))


@LEVELS
async def test_a_program_that_ends_takes_what_it_left_in_the_background_along(
    engine: DockerEngine, level: Level
) -> None:
    hold = "setsid sh -c 'trap \"\" TERM HUP; echo here; while :; do sleep 1; done'"
    async with asyncio.timeout(30):
        result = await run(engine, f"{hold} & {hold} >&2 & sleep 0.2; echo last; exit 4", level)
    assert sorted(result.stdout.split()) == [b"here", b"last"]
    assert (result.stderr, result.exit) == (b"here\n", Exit(4))


async def test_all_output_comes_before_the_end_although_somebody_goes_on_writing(
    engine: DockerEngine,
) -> None:
    result = await run(engine, "yes x & yes y >&2 & head -c 1000000 /dev/zero; exit 2")
    assert result.exit == Exit(2)
    assert result.stdout.count(0) == 1_000_000
    assert set(result.stdout) <= set(b"\0x\n")
    assert set(result.stderr) <= set(b"y\n")


async def test_a_program_may_kill_everything_but_its_init(engine: DockerEngine) -> None:
    result = await run(engine, "kill -9 -1; kill -9 1; kill -STOP 1; echo alive; exit 5")
    assert (result.stdout, result.exit) == (b"alive\n", Exit(5))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_a_death_by_a_signal_is_told_by_the_engine(
    engine: DockerEngine, number: signal.Signals
) -> None:
    result = await run(engine, f"echo out; kill -{number:d} $$")
    assert (result.stdout, result.exit) == (b"out\n", Exit(128 + number, "signal"))


@LEVELS
async def test_stopping_a_container_asks_its_program_first(
    engine: DockerEngine, level: Level
) -> None:
    script = "trap 'echo asked; exit 7' USR2; echo ready; while :; do sleep 0.05; done"
    function = function_of("sh", "-c", script, stop_signal="SIGUSR2", ready=Ready(level=level))
    async with (
        engine.reserve(function) as slot,
        slot.start(Invocation(function=function), streams.NOTHING) as container,
    ):
        events = aiter(container)
        assert await anext(events) == Output("stdout", b"ready\n")
        await engine.settled()
        await engine.management.stop(container.name, grace=20)
        assert [event async for event in events] == [Output("stdout", b"asked\n"), Exit(7)]


async def test_a_container_that_waits_can_be_stopped_at_once(
    engine: DockerEngine, dockerd: Dockerd
) -> None:
    async with engine.reserve(function_of("cat")) as slot:
        (id_,) = ids_of(dockerd)
        async with asyncio.timeout(15):
            await engine.management.stop(f"wherry-{id_}", grace=60)
            await slot.ended()
        known = json.loads(dockerd.request("GET", f"/containers/wherry-{id_}/json"))
        assert known["State"]["ExitCode"] == 128 + signal.SIGTERM


async def test_output_that_begins_as_last_words_do_is_answered_before_more_comes(
    engine: DockerEngine,
) -> None:
    """It is held for a moment only: whoever reads it may be who has to answer."""
    asked = asyncio.Event()

    async def answer() -> AsyncIterator[bytes]:
        await asked.wait()
        yield b"on\n"

    function = function_of("sh", "-c", r"printf '?\301'; read line; echo $line; exit 6")
    async with (
        engine.reserve(function) as slot,
        slot.start(Invocation(function=function), answer()) as container,
    ):
        read = b""
        async with asyncio.timeout(20):
            async for event in container:
                if isinstance(event, Output):
                    read += event.data
                    if read == b"?\xc1":
                        asked.set()
    assert (read, event) == (b"?\xc1on\n", Exit(6))


async def test_an_exit_code_that_comes_without_the_gates_words_is_an_error(
    engine: DockerEngine,
) -> None:
    frame = call_frame(["true"], {}, secret=new_secret())
    function = function_of("true")
    async with engine.reserve(function) as slot:
        container = slot._container
        await container.call(frame, program="true", secret=new_secret())
        with pytest.raises(EngineError, match=r"was cut.* exit code 0"):
            await streams.collect(container)


@LEVELS
async def test_a_program_that_is_not_there_is_named(engine: DockerEngine, level: Level) -> None:
    function = function_of("no-such-thing", ready=Ready(level=level))
    invocation = Invocation(function=function)
    async with engine.reserve(function) as slot:
        with pytest.raises(ProgramNotFound, match="no-such-thing"):
            await called(slot, invocation, streams.NOTHING)


async def test_files_are_collected_only_when_the_container_has_ended(
    engine: DockerEngine, tmp_path: Path
) -> None:
    collect = (Collect(path="/out", to=str(tmp_path)),)
    function = function_of("sh", "-c", "head -c 5000000 /dev/zero > /out", collect=collect)
    result = await ready(engine, Invocation(function=function), streams.NOTHING)
    assert not isinstance(result, WherryError)
    assert (tmp_path / "out").stat().st_size == 5_000_000


async def test_closing_the_engine_waits_for_what_is_removed_behind_its_callers(
    dockerd: Dockerd,
) -> None:
    engine = DockerEngine.connect(dockerd.unix)
    function: Function = function_of("true")
    for _ in range(3):
        async with engine.start(Invocation(function=function), streams.NOTHING) as container:
            assert (await streams.collect(container)).exit == Exit(0)
    await engine.aclose()
    assert ids_of(dockerd) == set()
