"""Ready containers of a real Docker engine: what becomes of them before and after their call."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
from tests.support.docker_harness import ids_of
from tests.support.docker_image import docker_archive
from tests.support.docker_ready_calls import called, function_of, ready

from wherry import streams
from wherry.engines import gate
from wherry.engines.docker import ready as docker_ready
from wherry.engines.docker.engine import DockerEngine
from wherry.errors import (
    EngineError,
    StartError,
    UsageError,
)
from wherry.images.platforms import host_platform
from wherry.models import Collect, Exit, Invocation, Limits, Output, Ready, Secret
from wherry.wrappers.pool import Pool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dockerd import Dockerd


pytestmark = pytest.mark.root

Level = Literal["created", "started"]
STARTED = Ready(level="started")


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine.connect(dockerd.unix)
    yield engine
    await engine.aclose()
    assert ids_of(dockerd) == set()


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does soon."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_more_words_than_the_gate_takes_are_refused(engine: DockerEngine) -> None:
    invocation = Invocation(function=function_of("echo"), args=("x",) * 70_000)
    assert isinstance(await ready(engine, invocation, streams.NOTHING), UsageError)


@pytest.mark.parametrize("level", ["created", "started"])
async def test_a_slot_serves_exactly_one_call(engine: DockerEngine, level: Level) -> None:
    function = function_of("cat", ready=replace(STARTED, level=level))
    async with engine.reserve(function) as slot:
        result = await called(slot, Invocation(function=function), streams.source("once"))
        assert (result.stdout, result.exit) == (b"once", Exit(0))
        with pytest.raises(EngineError, match="has served its one call"):
            async with slot.start(Invocation(function=function), streams.NOTHING):
                raise AssertionError


@pytest.mark.parametrize("level", ["created", "started"])
async def test_a_slot_that_nobody_calls_goes_with_its_block(
    engine: DockerEngine, dockerd: Dockerd, level: Level
) -> None:
    async with engine.reserve(function_of("cat", ready=replace(STARTED, level=level))) as slot:
        assert slot.usable
        assert len(ids_of(dockerd)) == 1
    assert ids_of(dockerd) == set()


async def test_a_started_program_has_begun_before_its_call(engine: DockerEngine) -> None:
    function = function_of("sh", "-c", "echo $$; cat /proc/uptime; cat", ready=STARTED)
    invocation = Invocation(function=function)
    async with engine.reserve(function) as slot:
        assert slot.serves(invocation)
        assert not slot.serves(Invocation(function=function, args=("x",)))
        assert not slot.serves(Invocation(function=function, env={"A": "x"}))
        assert not slot.serves(Invocation(function=replace(function, user="1")))
        await asyncio.sleep(0.5)
        called_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        result = await called(slot, invocation, streams.source("read"))
    assert float(result.stdout.split()[1]) < called_at
    assert result.stdout.endswith(b"read")


async def test_a_home_that_the_runtime_would_choose_is_left_to_a_cold_call(
    engine: DockerEngine,
) -> None:
    function = function_of("env")
    async with engine.reserve(function) as slot:
        assert not slot.serves(Invocation(function=function, env={"HOME": ""}))
        assert slot.serves(Invocation(function=function, env={"HOME": "/"}))


@pytest.mark.parametrize("why", ["read-only root", "other machine", "no compiler"])
async def test_without_the_gate_the_call_starts_the_container(
    engine: DockerEngine, dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    function = function_of("sh", "-c", "touch /tmp/x; ls -A /; cat", read_only=why[0] == "r")
    if why == "other machine":
        other = replace(host_platform(), architecture="s390x")
        monkeypatch.setattr(docker_ready, "host_platform", lambda: other)
    if why == "no compiler":
        monkeypatch.setattr(gate, "GATE", gate.GATE.with_name("nothing"))
    async with engine.reserve(function) as slot:
        (found,) = json.loads(dockerd.request("GET", "/containers/json?all=1"))
        assert found["State"] == "created"
        assert slot.usable
        assert not slot.serves(Invocation(function=function, args=("x",)))
        result = await called(slot, Invocation(function=function), streams.source("in"))
    assert b"gate" not in result.stdout
    assert (result.stdout[-2:], result.exit) == (b"in", Exit(0))


async def test_a_name_given_to_another_image_makes_a_slot_useless(
    engine: DockerEngine, dockerd: Dockerd
) -> None:
    def load(word: str) -> None:
        archive = docker_archive("turning:latest", Cmd=["echo", word])
        dockerd.request("POST", "/images/load?quiet=1", archive)

    await asyncio.to_thread(load, "one")
    function = function_of(image="turning")
    async with engine.reserve(function) as slot:
        await asyncio.to_thread(dockerd.request, "POST", "/images/busybox/tag?repo=other&tag=x")
        await asyncio.sleep(0.2)
        assert slot.usable
        await asyncio.to_thread(load, "two")
        await until(lambda: not slot.usable)
        async with engine.reserve(function) as newer:
            assert newer.usable
            result = await called(newer, Invocation(function=function), streams.NOTHING)
            assert result.stdout == b"two\n"
        await asyncio.to_thread(dockerd.request, "DELETE", "/images/turning:latest?force=1")


async def test_a_secret_that_was_replaced_makes_a_slot_useless(
    engine: DockerEngine, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("old")
    secret = Secret(name="key", path=str(tmp_path / "key"))
    async with engine.reserve(function_of("true", secrets=(secret,))) as slot:
        assert slot.usable
        (tmp_path / "new").write_text("new")
        (tmp_path / "new").rename(tmp_path / "key")
        assert not slot.usable


@pytest.mark.parametrize("level", ["created", "started"])
async def test_a_container_that_died_while_it_waited_is_noticed(
    engine: DockerEngine, dockerd: Dockerd, level: Level
) -> None:
    async with engine.reserve(function_of("cat", ready=replace(STARTED, level=level))) as slot:
        (id_,) = ids_of(dockerd)
        assert slot.usable
        await asyncio.to_thread(dockerd.request, "POST", f"/containers/wherry-{id_}/kill")
        async with asyncio.timeout(20):
            await slot.ended()
        assert not slot.usable


async def test_signals_reach_a_ready_call_however_early_they_come(engine: DockerEngine) -> None:
    function = function_of("sleep", "60")
    for number in (signal.SIGTERM, signal.SIGKILL):
        async with (
            engine.reserve(function) as slot,
            slot.start(Invocation(function=function), streams.NOTHING) as container,
        ):
            await container.kill(number)
            async with asyncio.timeout(20):
                assert (await streams.collect(container)).exit == Exit(128 + number, "killed")


async def test_files_are_collected_after_a_ready_call_too(
    engine: DockerEngine, tmp_path: Path
) -> None:
    collect = (Collect(path="/out", to=str(tmp_path)),)
    function = function_of("sh", "-c", "mkdir /out; echo 1 > /out/one", collect=collect)
    await ready(engine, Invocation(function=function), streams.NOTHING)
    assert (tmp_path / "one").read_text() == "1\n"


async def test_an_error_of_the_source_and_of_the_block_come_out_as_themselves(
    engine: DockerEngine,
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise LookupError("source")

    function = function_of("cat")
    async with engine.reserve(function) as slot:
        with pytest.raises(LookupError, match="source"):
            await called(slot, Invocation(function=function), broken())
    with pytest.raises(KeyError):
        async with (
            engine.reserve(function) as slot,
            slot.start(Invocation(function=function), streams.NOTHING),
        ):
            raise KeyError


async def test_what_cannot_be_made_ready_is_said_by_reserve(
    engine: DockerEngine, dockerd: Dockerd
) -> None:
    with pytest.raises(StartError, match="nobody-at-all"):
        async with engine.reserve(function_of("true", user="nobody-at-all")):
            raise AssertionError
    assert ids_of(dockerd) == set()


async def test_a_pool_serves_20_calls_at_once_and_leaves_nothing(dockerd: Dockerd) -> None:
    engine = DockerEngine.connect(dockerd.unix)
    pool = Pool(engine)
    function = function_of("sh", "-c", 'echo "$0 $N $(cat)"', ready=Ready(min=5, max=8))
    await pool.prepare(function)
    assert len(ids_of(dockerd)) == 5

    async def one(number: int) -> bytes:
        invocation = Invocation(function=function, args=(f"{number}",), env={"N": f"{number}"})
        async with pool.start(invocation, streams.source(f"{number}")) as container:
            return (await streams.collect(container)).stdout

    answers = await asyncio.gather(*(one(number) for number in range(20)))
    assert answers == [f"{number} {number} {number}\n".encode() for number in range(20)]
    assert pool.stats["f"].hits >= 5
    await pool.aclose()
    assert ids_of(dockerd) == set()


async def test_a_deadline_counts_from_the_call(engine: DockerEngine, dockerd: Dockerd) -> None:
    function = function_of("cat", limits=Limits(timeout=0.2))
    async with engine.reserve(function) as slot:
        (found,) = json.loads(dockerd.request("GET", "/containers/json?all=1"))
        assert found["Labels"]["wherry.deadline"] == ""
        await asyncio.sleep(0.4)
        assert slot.usable


async def test_an_engine_that_restarts_makes_every_slot_useless(dockerd: Dockerd) -> None:
    engine = DockerEngine.connect(dockerd.unix)
    function = function_of("cat")
    async with engine.reserve(function) as slot:
        await asyncio.to_thread(dockerd.kill)
        await asyncio.to_thread(dockerd.start)
        async with asyncio.timeout(20):
            await slot.ended()
        assert not slot.usable
        async with engine.reserve(function) as newer:
            assert newer.usable
            result = await called(newer, Invocation(function=function), streams.source("on"))
            assert result.stdout == b"on"
    await engine.aclose()
    assert ids_of(dockerd) == set()


OWNER = """
import asyncio, sys
from wherry.engines.docker.engine import DockerEngine
from wherry.models import Function, Ready
async def main():
    engine = DockerEngine.connect(sys.argv[1])
    async with engine.reserve(Function(name="f", image="busybox", command=("cat",), ready=Ready())):
        print("ready", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_what_a_killed_owner_kept_ready_ends_and_is_reaped(
    engine: DockerEngine, dockerd: Dockerd
) -> None:
    def begin_and_kill() -> None:
        command = [sys.executable, "-c", OWNER, dockerd.unix]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as owner:
            assert owner.stdout
            assert owner.stdout.readline() == b"ready\n"
            owner.kill()

    await asyncio.to_thread(begin_and_kill)
    (id_,) = ids_of(dockerd)
    # The gate has read the end of its stdin.
    await until(lambda: b"exited" in dockerd.request("GET", "/containers/json?all=1"))
    assert await engine.reap() == [f"wherry-{id_}"]


async def test_while_it_waits_nothing_of_the_call_is_in_its_configuration(
    engine: DockerEngine, dockerd: Dockerd
) -> None:
    function = function_of("sh", "-c", "echo $SECRET; sleep 60")
    invocation = Invocation(function=function, env={"SECRET": "hu5h"})
    async with (
        engine.reserve(function) as slot,
        slot.start(invocation, streams.NOTHING) as container,
    ):
        assert await anext(aiter(container)) == Output("stdout", b"hu5h\n")
        await engine.settled()
        known = dockerd.request("GET", f"/containers/wherry-{invocation.id}/json")
        assert b"hu5h" not in known
