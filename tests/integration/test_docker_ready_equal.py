"""A program in a ready container of a Docker engine sees what it would in a cold call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.docker_harness import ids_of
from tests.support.docker_image import docker_archive
from tests.support.docker_ready_calls import cold, function_of, ready

from wherry import streams
from wherry.engines.docker.engine import DockerEngine
from wherry.errors import (
    ProgramNotExecutable,
    ProgramNotFound,
    UsageError,
    WherryError,
)
from wherry.models import Exit, File, Invocation, Limits, Secret

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd


pytestmark = pytest.mark.root

ALL_THAT_CAN_BE_SEEN = """
    echo "$0" "$@"; env | sort; id; pwd; umask; hostname; ulimit -a
    cat /proc/self/limits; cut -d ' ' -f 5- /proc/self/mountinfo
    grep -E 'Sig|Shd|Cap|NoNew|Seccomp|Groups|[UG]id|Threads' /proc/self/status
    for fd in 0 1 2; do readlink /proc/$$/fd/$fd; stat -c %A /proc/$$/fd/$fd; done; ls /proc/$$/fd
    stat -c '%n %a %u:%g %t:%T' /* /.[!.]* /dev/* /run/* /run/secrets/* /tmp/*
    tr '\\0' '\\n' < /proc/$$/cmdline; tr '\\0' '\\n' < /proc/$$/environ | sort; cat /proc/$$/comm
    readlink /proc/$$/exe; cut -d ' ' -f 2,4 /proc/$$/stat; cat /proc/self/oom_score_adj
    cat /etc/hostname; cut -d : -f 1 /proc/net/dev; ps -o user,comm
    readlink /proc/self/ns/* | cut -d : -f 1; cat; echo err >&2; exit 7
"""


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine.connect(dockerd.unix)
    yield engine
    await engine.aclose()
    assert ids_of(dockerd) == set()


def without_accidents(text: bytes) -> str:
    """Blank what differs from one container to the next, and the engine's init in cold calls."""
    patterns = {r"(pipe|fd):\[\d+\]": "pipe", r"[0-9a-f]{64}": "ID", r"/overlay2/\S*": "LAYER",
                r"SigQ.*": "", r"(lower|upper|work)dir=\S*": "LAYER",
                r"peer group \d+|master:\d+|shared:\d+": "",
                r"(?m)^/sbin(/docker-init)? .*\n": ""}  # fmt: skip
    seen = text.decode(errors="backslashreplace")
    for pattern, word in patterns.items():
        seen = re.sub(pattern, word, seen)
    return seen


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"user": "0:5", "workdir": "/srv/new", "env": {"A": "1", "PWD": "elsewhere"}},
        {"limits": Limits(memory=64 << 20, pids=50, cpus=1.5, timeout=60)},
        {
            "secrets": (Secret(name="key", value=b"open"),),
            "files": (File(target="/in", data=b"in"),),
            "network": "private",
        },
    ],
    ids=["nothing asked for", "user and environment", "limits", "secrets and files"],
)
@pytest.mark.parametrize("has_stdin", [True, False])
async def test_a_program_sees_no_difference_to_a_cold_call(
    engine: DockerEngine, fields: dict[str, Any], has_stdin: bool
) -> None:
    function = function_of("sh", "-c", ALL_THAT_CAN_BE_SEEN, hostname="ferry", **fields)
    env = {"CALL": "a 'b'\n", "HOME": "/over", "PATH": "/bin:/sbin"}
    invocation = Invocation(function=function, args=("first", "", "ünïcode"), env=env)
    results = []
    for way in (cold, ready):
        stdin = streams.source("in") if has_stdin else streams.NOTHING
        result = await way(engine, invocation, stdin)
        assert not isinstance(result, WherryError), result
        seen = without_accidents(result.stdout).splitlines()
        results.append((seen, result.exit, result.stderr))
    assert results[1] == results[0]
    assert results[0][1] == Exit(7)


async def test_who_is_not_root_sees_the_file_of_the_gate_and_nothing_else_of_it(
    engine: DockerEngine,
) -> None:
    script = "ls -A /; env | sort; id"
    invocation = Invocation(function=function_of("sh", "-c", script, user="1000", hostname="h"))
    seen = [await way(engine, invocation, streams.NOTHING) for way in (cold, ready)]
    lines = [[] if isinstance(each, WherryError) else each.stdout.split() for each in seen]
    assert b".wherry-gate" in lines[1]
    assert lines[0].pop(lines[0].index(b"sbin"))  # for the engine's init
    assert [line for line in lines[1] if line != b".wherry-gate"] == lines[0]


async def test_the_images_own_program_runs_as_in_a_cold_call(
    engine: DockerEngine, dockerd: Dockerd
) -> None:
    config = {"Entrypoint": ["echo", "entry"], "Cmd": ["cmd"], "Env": ["PATH=/bin", "I=image"]}
    await asyncio.to_thread(
        dockerd.request, "POST", "/images/load?quiet=1", docker_archive("entry:latest", **config)
    )
    calls: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = (
        ({}, ()),
        ({}, ("arg",)),
        ({"command": ("own",)}, ("arg",)),
        ({"entrypoint": ("echo", "other")}, ()),
        ({"entrypoint": ()}, ("env",)),
    )
    for fields, args in calls:
        function = replace(function_of(image="entry", hostname="h"), **fields)
        invocation = Invocation(function=function, args=args)
        results = [await way(engine, invocation, streams.NOTHING) for way in (cold, ready)]
        assert not isinstance(results[0], WherryError)
        assert results[1] == results[0]
    nothing = Invocation(function=function_of(image="entry", entrypoint=()))
    for way in (cold, ready):
        assert isinstance(await way(engine, nothing, streams.NOTHING), UsageError)


FILES = (
    File(target="/opt/plain", data=b"echo a script of no known form $0 $1\n", mode=0o755),
    File(target="/opt/locked", data=b"#!/bin/sh\n", mode=0o644),
    File(target="/opt/lost", data=b"#!/no/such\n", mode=0o755),
    File(target="/opt/script", data=b"#!/bin/sh -e\necho $0 $1\n", mode=0o755),
)


@pytest.mark.parametrize(
    "program",
    ["no-such", "/no/such", "plain", "locked", "lost", "script", "/opt", "/opt/locked", "",
     "/etc/hostname/x"],
)  # fmt: skip
async def test_programs_are_found_and_fail_as_in_a_cold_call(
    engine: DockerEngine, program: str
) -> None:
    function = function_of(program, "word", files=FILES, env={"PATH": "/opt:/bin"})
    invocation = Invocation(function=function)
    one, other = [await way(engine, invocation, streams.NOTHING) for way in (cold, ready)]
    if isinstance(one, WherryError):
        assert isinstance(one, ProgramNotFound | ProgramNotExecutable)
        assert (type(other), str(other)) == (type(one), str(one))
    else:
        assert other == one
