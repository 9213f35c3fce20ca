"""Ready containers of the real local engine: as a cold call in all a program can see."""

from __future__ import annotations

import asyncio
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.local_calls import Calls, function_of
from tests.support.local_harness import of_this_engine

from wherry import streams
from wherry.errors import (
    EngineError,
    ProgramNotExecutable,
    ProgramNotFound,
    UsageError,
    WherryError,
)
from wherry.models import Collect, Exit, File, Function, Invocation, Mount, Ready, Secret

if TYPE_CHECKING:
    from wherry.streams import Collected

ALL_THAT_CAN_BE_SEEN = """
    echo "$0" "$@"; env | sort; id; pwd; umask; hostname; ulimit -a; echo $$
    cat /proc/self/mounts /proc/self/limits /proc/self/cgroup
    grep -E 'Sig|Shd|Cap|NoNew|Seccomp|Groups|[UG]id|Threads|FDSize' /proc/self/status
    ls -l /proc/self/fd | awk '{ print $9, $10, $11 }'
    stat -c '%n %a %u:%g %t:%T' /* /dev/* /run/* /tmp/*
    tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ; cat /proc/$$/comm
    readlink /proc/$$/exe; cut -d ' ' -f 4-8 /proc/$$/stat; cat /proc/self/oom_score_adj
    cat /etc/hosts /etc/hostname; cat /proc/net/dev | cut -d : -f 1; ps -o pid,ppid,args
    readlink /proc/self/ns/* | cut -d : -f 1; cat; echo err >&2; exit 7
"""


async def collected(calls: Calls, function: Function, **call: object) -> Collected | WherryError:
    invocation = Invocation(function=function, **call)  # type: ignore[arg-type]
    try:
        async with calls.engine.start(invocation, streams.source("in")) as container:
            return await streams.collect(container)
    except WherryError as error:
        return error


async def collected_ready(
    calls: Calls, function: Function, **call: object
) -> Collected | WherryError:
    function = replace(function, ready=Ready())
    invocation = Invocation(function=function, **call)  # type: ignore[arg-type]
    try:
        async with calls.engine.reserve(function) as slot:
            assert slot.usable
            assert slot.serves(invocation)
            async with slot.start(invocation, streams.source("in")) as container:
                assert container.id == invocation.id
                assert not slot.usable
                return await streams.collect(container)
    except WherryError as error:
        return error


def without_accidents(text: bytes) -> str:
    """Blank what differs from one container to the next in any case: pipes, times, groups."""
    patterns = {
        r"pipe:\[\d+\]": "pipe", r"/[0-9a-z-]*wherry\S*": "/GROUP", r"\d+-\d+-\d+\.[0-9a-f]+": "ID",
        r"SigQ.*": "",
    }  # fmt: skip
    seen = text.decode(errors="backslashreplace")
    for pattern, word in patterns.items():
        seen = re.sub(pattern, word, seen)
    return seen


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"user": "ferryman:boats", "workdir": "/srv/new", "env": {"A": "1", "PWD": "elsewhere"}},
        {"read_only": True, "memory": 64 << 20, "pids": 50, "tmp": 4 << 20, "cpus": 1.5},
        {
            "mounts": (Mount(target="/cache", type="tmpfs"),),
            "secrets": (Secret(name="key", value=b"open"),),
            "files": (File(target="/in", data=b"in"),),
            "workdir": "/cache/work",
        },
    ],
    ids=["nothing asked for", "user and environment", "limits", "mounts"],
)
async def test_a_program_sees_no_difference_to_a_cold_call(
    calls: Calls, fields: dict[str, object]
) -> None:
    if not calls.can_limit_memory:
        fields = {name: what for name, what in fields.items() if name not in ("memory", "cpus")}
    function = function_of("sh", "-c", ALL_THAT_CAN_BE_SEEN, hostname="ferry", **fields)
    call = {"args": ("first", "", "ünïcode \udcff"), "env": {"CALL": "a 'b'\n", "HOME": "/over"}}
    cold = await collected(calls, function, **call)
    ready = await collected_ready(calls, function, **call)
    assert not isinstance(cold, WherryError)
    assert not isinstance(ready, WherryError)
    assert (ready.exit, ready.stderr) == (cold.exit, cold.stderr) == (Exit(7), cold.stderr)
    assert without_accidents(ready.stdout) == without_accidents(cold.stdout)


FILES = (
    File(target="/opt/plain", data=b"echo a script of no known form $0 $1\n", mode=0o755),
    File(target="/opt/locked", data=b"#!/bin/sh\n", mode=0o644),
    File(target="/opt/lost", data=b"#!/no/such\n", mode=0o755),
    File(target="/opt/script", data=b"#!/bin/sh -e\necho $0 $1\n", mode=0o755),
    File(target="/opt/empty", data=b"", mode=0o755),
    File(target="/opt/elf", data=b"\x7fELF\x02\x01\x01" + bytes(57), mode=0o755),
)


@pytest.mark.parametrize(
    "path", ["/bin", "/opt:/bin", "/no/such:/opt:/bin", "/bin:/opt", "", ":/opt"]
)
@pytest.mark.parametrize(
    "program",
    ["no-such", "/no/such", "plain", "locked", "lost", "script", "empty", "elf", "/opt/plain",
     "/opt/locked", "/opt/lost", "/opt/script", "/opt/elf", "opt/script", "/opt", "opt", "",
     "/etc/passwd/x", "x" * 300, "/" + "x" * 300, "/" + "x/" * 3000],
)  # fmt: skip
async def test_programs_are_found_and_fail_as_in_a_cold_call(
    calls: Calls, program: str, path: str
) -> None:
    function = function_of(program, "word", files=FILES, env={"PATH": path})
    cold, ready = await collected(calls, function), await collected_ready(calls, function)
    if isinstance(cold, WherryError):
        assert type(ready) is type(cold)
        assert isinstance(cold, ProgramNotFound | ProgramNotExecutable)
        if len(program) < 300:
            assert str(ready) == str(cold)
    else:
        assert ready == cold


@pytest.mark.parametrize(
    "words",
    [("x" * 200_000,), tuple(["x" * 100_000] * 30), tuple(str(n) for n in range(20_000))],
    ids=["one is too long", "all are too long", "very many"],
)
async def test_many_and_long_words_end_as_in_a_cold_call(
    calls: Calls, words: tuple[str, ...]
) -> None:
    function = function_of("sh", "-c", "echo $# $9999", "sh")
    cold = await collected(calls, function, args=words)
    ready = await collected_ready(calls, function, args=words)
    assert (type(ready), str(ready)) == (type(cold), str(cold))


async def test_more_words_than_the_gate_takes_are_refused_and_the_container_goes(
    calls: Calls,
) -> None:
    for words in (("x",) * 70_000, ("x" * 100_000,) * 50):
        result = await collected_ready(calls, function_of("echo"), args=words)
        assert isinstance(result, UsageError)
        assert "at most 4194304 bytes in 65536 words" in str(result)
    assert of_this_engine(calls.engine) == []


async def test_a_slot_serves_one_call(calls: Calls) -> None:
    function = function_of("echo", "once", ready=Ready())
    async with calls.engine.reserve(function) as slot:
        async with slot.start(Invocation(function=function), streams.NOTHING) as container:
            assert (await streams.collect(container)).stdout == b"once\n"
        assert not slot.usable
        with pytest.raises(EngineError, match="has served its one call"):
            async with slot.start(Invocation(function=function), streams.NOTHING):
                raise AssertionError


async def test_a_slot_that_nobody_calls_goes_with_its_block(calls: Calls) -> None:
    for level in ("created", "started"):
        function = function_of("cat", ready=Ready(level=level))
        async with calls.engine.reserve(function):
            assert len(of_this_engine(calls.engine)) == 1
        assert of_this_engine(calls.engine) == []


async def test_a_started_program_has_begun_before_its_call(calls: Calls) -> None:
    function = function_of("sh", "-c", "echo begun; cat", ready=Ready(level="started"))
    async with calls.engine.reserve(function) as slot:
        assert slot.serves(Invocation(function=function))
        assert not slot.serves(Invocation(function=function, args=("x",)))
        assert not slot.serves(Invocation(function=function, env={"A": "x"}))
        assert not slot.serves(Invocation(function=replace(function, user="1")))
        invocation = Invocation(function=function)
        async with slot.start(invocation, streams.source("then read")) as container:
            (found,) = of_this_engine(calls.engine)
            assert found.marker.id == invocation.id
            result = await streams.collect(container)
    assert (result.stdout, result.exit) == (b"begun\nthen read", Exit(0))


async def test_a_started_program_that_cannot_be_executed_is_named_by_its_call(
    calls: Calls,
) -> None:
    function = function_of("no-such", ready=Ready(level="started"))
    invocation = Invocation(function=function)
    async with calls.engine.reserve(function) as slot:
        with pytest.raises(ProgramNotFound):
            async with slot.start(invocation, streams.NOTHING) as container:
                await streams.collect(container)


async def test_a_sandbox_that_cannot_stand_says_why(calls: Calls) -> None:
    with pytest.raises(UsageError, match="workdir '/etc/passwd' cannot be entered"):
        async with calls.engine.reserve(function_of("true", workdir="/etc/passwd", ready=Ready())):
            raise AssertionError
    assert of_this_engine(calls.engine) == []


async def test_files_are_collected_after_a_ready_call_too(calls: Calls, tmp_path: Path) -> None:
    collect = (Collect(path="/out", to=str(tmp_path)),)
    function = function_of("sh", "-c", "mkdir /out; echo 1 > /out/one", collect=collect)
    result = await collected_ready(calls, function)
    assert not isinstance(result, WherryError), result
    assert (tmp_path / "one").read_text() == "1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("delay", [None, 0, 0.001, 0.002, 0.005])
async def test_signals_reach_a_ready_call_however_early_they_come(
    calls: Calls, delay: float | None, number: signal.Signals
) -> None:
    function = function_of("sleep", "60", ready=Ready())
    async with (
        calls.engine.reserve(function) as slot,
        slot.start(Invocation(function=function), streams.NOTHING) as container,
    ):
        if delay is not None:
            await asyncio.sleep(delay)
        await container.kill(number)
        async with asyncio.timeout(20):
            assert (await streams.collect(container)).exit == Exit(128 + number, "killed")
