"""The remote engine beyond the contract: TLS, tokens, policies, what goes along, what is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.certificates import make_certificates
from tests.support.docker_harness import ids_of
from tests.support.harness import endless, silent
from tests.support.remote_server import TOKEN, RemoteClient, remote_server
from tests.support.remote_started import remote_process
from tests.support.waiting import wait_until

from wherry import streams
from wherry.engines.remote import protocol
from wherry.engines.remote.engine import RemoteEngine
from wherry.engines.remote.portable import call_document
from wherry.engines.remote.protocol import frame
from wherry.errors import Busy, EngineError, EngineUnavailable, UsageError
from wherry.models import CHUNK, Exit, File, Function, Invocation, Limits, Mount, Output, Secret
from wherry.remote.tokens import new_token

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd


def calling(*command: str, **fields: Any) -> Invocation:
    return Invocation(function=Function(name="f", image="busybox", command=command, **fields))


@asynccontextmanager
async def engine_on(server: RemoteClient, *, token: str = TOKEN) -> AsyncIterator[RemoteEngine]:
    engine = RemoteEngine.connect(f"remote+http://{token}@{server.host}:{server.port}")
    yield engine
    await engine.aclose()


async def run(engine: RemoteEngine, invocation: Invocation) -> streams.Collected:
    async with engine.start(invocation, streams.NOTHING) as container:
        return await streams.collect(container)


async def until(true: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, true, seconds=40)


async def test_files_and_secrets_of_this_machine_are_in_the_container(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file, ")
    invocation = calling(
        "sh",
        "-c",
        "cat /etc/given /run/secrets/*",
        files=(File(target="/etc/given", source=str(tmp_path / "file")),),
        secrets=(Secret(name="password", value=b"hush"),),
    )
    async with remote_server(dockerd.unix) as server, engine_on(server) as engine:
        result = await run(engine, invocation)
    assert (result.stdout, result.exit) == (b"a file, hush", Exit(0))


async def test_a_call_is_held_against_the_policy_of_its_token(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    (tmp_path / "policy").write_text(
        '[default]\nimages = ["docker.io/library/busybox:*"]\n'
        'limits = { memory = "64m", containers = 1 }\n'
        "[tokens.hasty]\nlimits = { timeout = 0.5 }\n"
    )
    token, table = new_token(f"bounded-{uuid.uuid4().hex}")  # who has no container of other tests
    hasty, more = new_token("hasty")
    (tmp_path / "tokens").write_text(table + more)
    settings = {name: tmp_path / name for name in ("tokens", "policy")}
    async with (
        remote_server(dockerd.unix, **settings) as server,
        engine_on(server, token=token) as engine,
        engine_on(server, token=hasty) as bounded,
    ):
        for invocation, named in (
            (Invocation(function=Function(name="f", image="evil.example/x")), "image"),
            (calling("true", network="host"), "network"),
            (calling("true", limits=Limits(memory=1 << 30)), "memory"),
            (calling("cat", mounts=(Mount(target="/x", source="/etc"),)), "volumes"),
            (calling("true", labels={"wherry.owner": "x"}), "labels"),
        ):
            with pytest.raises(UsageError, match=named):
                await run(engine, invocation)
        assert (await run(bounded, calling("sleep", "600"))).exit.reason == "timeout"
        assert (await run(engine, calling("true"))).exit == Exit(0)
        async with engine.start(calling("sleep", "600"), streams.NOTHING):
            with pytest.raises(Busy, match="may have 1"):
                await run(engine, calling("true"))


async def test_nobody_touches_the_calls_of_another_token(dockerd: Dockerd, tmp_path: Path) -> None:
    (alice, one), (bob, two) = new_token("alice"), new_token("bob")
    (tmp_path / "tokens").write_text(one + two)
    invocation = calling("sleep", "600")
    async with (
        remote_server(dockerd.unix, tokens=tmp_path / "tokens") as server,
        engine_on(server, token=alice) as engine,
        engine.start(invocation, streams.NOTHING) as container,
    ):
        other = RemoteClient(server.host, server.port, token=bob)
        path = f"/wherry/v1/calls/{invocation.id}"
        assert (await other.ask("DELETE", path)).status == 404
        assert (await other.ask("POST", f"{path}/kill", b"")).status == 404
        assert (await other.ask("DELETE", f"/wherry-{invocation.id}")).json["raw"] == ""
        await container.kill(signal.SIGKILL)
        assert (await streams.collect(container)).exit == Exit(137, "killed")


async def test_a_token_that_is_not_taken_is_not_told_either(dockerd: Dockerd) -> None:
    async with (
        remote_server(dockerd.unix) as server,
        engine_on(server, token="not-this-one") as engine,
    ):
        with pytest.raises(EngineUnavailable, match="does not take this token") as caught:
            await run(engine, calling("true"))
    assert "not-this-one" not in str(caught.value)


async def test_over_the_servers_limit_there_is_no_capacity(dockerd: Dockerd) -> None:
    async with remote_server(dockerd.unix, low_burst=1) as server, engine_on(server) as engine:
        assert (await run(engine, calling("true"))).exit == Exit(0)
        with pytest.raises(Busy):
            await run(engine, calling("true"))


async def test_calls_share_the_places_of_the_server_with_its_runs(dockerd: Dockerd) -> None:
    async with (
        remote_server(dockerd.unix, capacity=1, waiting=1) as server,
        engine_on(server) as engine,
    ):
        async with engine.start(calling("cat"), silent()):
            waiting = asyncio.create_task(run(engine, calling("true")))
            name = "wherry_remote_waiting 1.0"
            async with asyncio.timeout(30):
                while name not in (await server.ask("GET", "/metrics")).body.decode():
                    await asyncio.sleep(0.02)
            with pytest.raises(Busy):
                await run(engine, calling("true"))
        assert (await waiting).exit == Exit(0)


async def test_a_caller_that_is_cancelled_while_it_waits_leaves_the_queue(
    dockerd: Dockerd,
) -> None:
    async with remote_server(dockerd.unix, capacity=1) as server, engine_on(server) as engine:
        async with engine.start(calling("cat"), silent()):
            waiting = asyncio.create_task(run(engine, calling("true")))
            async with asyncio.timeout(30):
                while b"_waiting 1.0" not in (await server.ask("GET", "/metrics")).body:
                    await asyncio.sleep(0.02)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert b"_waiting 0.0" in (await server.ask("GET", "/metrics")).body
        await engine.settled()
    assert ids_of(dockerd) == set()


async def test_callers_that_vanish_at_any_moment_leave_nothing(dockerd: Dockerd) -> None:
    """Their connections are cut, and nobody says goodbye."""
    chance = random.Random(5)

    async def vanishing(server: RemoteClient) -> None:
        invocation = calling("cat")
        data = frame(protocol.CALL, call_document(invocation, has_stdin=True))
        data += frame(protocol.INPUT, bytes(CHUNK))
        headers = {"content-type": protocol.MEDIA, "content-length": str(len(data) + 1)}
        reader, writer = await server.send("POST", "/wherry/v1/call", data, headers=headers)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(chance.random()):
                while await reader.read(CHUNK):
                    pass
        writer.transport.abort()

    async with remote_server(dockerd.unix, capacity=2) as server, engine_on(server) as engine:
        for _ in range(3):
            await asyncio.gather(*(vanishing(server) for _ in range(4)))
        await until(lambda: ids_of(dockerd) == set())
        await engine.settled()
        metrics = (await server.ask("GET", "/metrics")).body
        assert b"wherry_remote_running 0.0" in metrics
        assert b"wherry_remote_waiting 0.0" in metrics


async def test_a_server_that_stops_ends_its_calls_and_no_exit_is_invented(
    dockerd: Dockerd,
) -> None:
    async with engine_of_closing(dockerd) as (engine, close):
        with pytest.raises(EngineError):  # noqa: PT012 - the block is what is tested
            async with engine.start(calling("cat"), endless()) as container:
                events = aiter(container)
                assert isinstance(await anext(events), Output)
                closing = asyncio.create_task(close())
                async for event in events:
                    assert isinstance(event, Output)
        await closing
    await until(lambda: ids_of(dockerd) == set())


@asynccontextmanager
async def engine_of_closing(dockerd: Dockerd) -> AsyncIterator[tuple[RemoteEngine, Any]]:
    block = remote_server(dockerd.unix)
    server = await block.__aenter__()
    async with engine_on(server) as engine:
        yield engine, lambda: block.__aexit__(None, None, None)


async def test_the_command_line_runs_there_over_tls_and_a_kill_9_leaves_nothing(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    made = make_certificates(tmp_path)
    options = ("--https", "--cert", str(made.server_cert), "--key", str(made.server_key))
    pipe = asyncio.subprocess.PIPE
    async with remote_process(dockerd, *options) as server:
        url = f"remote+https://{TOKEN}@127.0.0.1:{server.port}?ca={made.ca}"
        environment = {**os.environ, "WHERRY_ENGINE": url}
        command = (sys.executable, "-m", "wherry", "run", "busybox", "sh", "-c")
        process = await asyncio.create_subprocess_exec(
            *command, "tr a-z A-Z; echo err >&2; exit 7",
            env=environment, stdin=pipe, stdout=pipe, stderr=pipe,
        )  # fmt: skip
        out, err = await process.communicate(b"hello")
        assert (out, err, process.returncode) == (b"HELLO", b"err\n", 7)
        process = await asyncio.create_subprocess_exec(
            *command, "echo begun; exec sleep 600", env=environment, stdout=pipe
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        process.kill()
        await process.wait()
        await until(lambda: ids_of(dockerd) == set())
        wrong = {**environment, "WHERRY_ENGINE": url.partition("?")[0]}
        process = await asyncio.create_subprocess_exec(
            *command, "true", env=wrong, stdout=pipe, stderr=pipe
        )
        _, err = await process.communicate()
        assert process.returncode == 125
        assert b"certificate" in err.lower()
        assert TOKEN.encode() not in err


async def test_what_is_prepared_is_pulled_there_or_refused(dockerd: Dockerd) -> None:
    async with remote_server(dockerd.unix) as server, engine_on(server) as engine:
        await engine.prepare(Function(name="f", image="busybox"))
        with pytest.raises(UsageError):
            await engine.prepare(Function(name="f", image="busybox", workdir="relative"))
        for body in (b"", b"{}", json.dumps({"function": {"name": 1}}).encode()):
            assert (await server.ask("POST", "/wherry/v1/prepare", body)).status == 400
        assert (await server.ask("POST", "/wherry/v1/nothing", b"")).status == 404
