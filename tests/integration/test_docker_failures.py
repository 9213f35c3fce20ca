"""Engines that die, hang or lose the connection while a call is under way: said, and in time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.support.docker_harness import ids_of
from tests.support.dockerd import Dockerd, running_dockerd
from tests.support.harness import endless

from wherry import streams
from wherry.client import AsyncClient
from wherry.engines.docker.address import Address
from wherry.engines.docker.engine import DockerEngine
from wherry.errors import EngineError, EngineUnavailable
from wherry.models import Exit, Function, Invocation, Output

pytestmark = pytest.mark.root
SLEEP = ("sh", "-c", "echo begun; sleep 60")


@pytest.fixture(scope="module")
def own_dockerd() -> Iterator[Dockerd]:
    """A daemon that may be killed."""
    with running_dockerd() as daemon:
        yield daemon


@asynccontextmanager
async def engine_of(spec: str) -> AsyncIterator[DockerEngine]:
    engine = DockerEngine.connect(spec)
    yield engine
    await engine.aclose()


def invocation(*command: str) -> Invocation:
    return Invocation(function=Function(name="f", image="busybox", command=command))


@asynccontextmanager
async def begun(engine: DockerEngine, *command: str) -> AsyncIterator[AsyncIterator[object]]:
    async with engine.start(invocation(*command), streams.NOTHING) as container:
        events = aiter(container)
        assert await anext(events) == Output("stdout", b"begun\n")
        yield events


async def test_a_daemon_killed_and_restarted_is_an_error_and_no_exit(own_dockerd: Dockerd) -> None:
    async with engine_of(own_dockerd.unix) as engine:
        with pytest.raises(EngineError, match=r"docker\.sock.*waiting for the end"):  # noqa: PT012
            async with begun(engine, *SLEEP) as events:
                await asyncio.to_thread(own_dockerd.kill)
                await asyncio.to_thread(own_dockerd.start)
                async for event in events:
                    assert not isinstance(event, Exit)
        assert ids_of(own_dockerd) == set()
        async with engine.start(invocation("echo", "again"), streams.NOTHING) as container:
            assert (await streams.collect(container)).stdout == b"again\n"


async def test_a_daemon_that_is_gone_is_named_and_its_containers_are_left_to_the_reaper(
    own_dockerd: Dockerd, caplog: pytest.LogCaptureFixture
) -> None:
    async with engine_of(own_dockerd.unix) as engine:
        with pytest.raises(EngineError):  # noqa: PT012
            async with begun(engine, *SLEEP) as events:
                await asyncio.to_thread(own_dockerd.kill)
                async for _ in events:
                    pass
        assert "a container could not be removed" in caplog.messages
        with pytest.raises(EngineUnavailable, match=r"docker\.sock cannot be reached"):
            await engine.prepare(Function(name="f", image="busybox"))
        await asyncio.to_thread(own_dockerd.start)
        # We still live, so they are not orphans; that is what the reaper goes by.
        assert await engine.reap() == []
        for left in ids_of(own_dockerd):
            await engine.management.remove(f"wherry-{left}", force=True)


async def test_a_daemon_that_hangs_is_given_up_on_in_time(own_dockerd: Dockerd) -> None:
    async with engine_of(own_dockerd.unix) as engine:
        engine.client.timeout = 0.5
        await engine.prepare(Function(name="f", image="busybox"))
        own_dockerd.freeze(frozen=True)
        try:
            with pytest.raises(EngineError, match=r"containers/create failed: no answer in time"):
                async with engine.start(invocation("true"), streams.NOTHING):
                    raise AssertionError("no daemon could have started it")
        finally:
            own_dockerd.freeze(frozen=False)
        engine.client.timeout = 10
    # What was created all the same has an owner that lives; the name finds it.
    for left in await asyncio.to_thread(ids_of, own_dockerd):
        own_dockerd.request("DELETE", f"/containers/wherry-{left}?force=1")


class Relay:
    """A way to the engine that can be cut: bytes pass until then."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        inner, outer = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, outer]
        await asyncio.gather(_copy(reader, outer), _copy(inner, writer))

    async def aclose(self) -> None:
        self.cut(reset=False)
        await asyncio.gather(*self._tasks)

    def cut(self, *, reset: bool) -> None:
        for writer in self._writers:
            if reset and not writer.is_closing():
                raw = writer.get_extra_info("socket")
                raw.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER of 0 s: a reset
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1000):  # not in step with the frames
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass


@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_cut_inside_a_frame_is_an_error_and_no_end(
    dockerd: Dockerd, reset: bool
) -> None:
    relay = Relay(dockerd.socket)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, engine_of(f"docker+tcp://127.0.0.1:{port}") as engine:
        ended: list[object] = []
        with pytest.raises(EngineError, match=r"tcp://127\.0\.0\.1|inside a frame"):  # noqa: PT012
            async with engine.start(invocation("cat", "/dev/zero"), streams.NOTHING) as container:
                read = 0
                async for event in container:
                    if isinstance(event, Exit):
                        ended.append(event)
                    else:
                        read += len(event.data)
                    if read > 1_000_000:
                        relay.cut(reset=reset)
        assert ended == []
    await relay.aclose()
    assert ids_of(dockerd) == set()


async def test_output_on_its_way_survives_an_exit_with_unread_input(dockerd: Dockerd) -> None:
    """The engine resets a connection that it closes with bytes unread; output must not go too."""
    for spec in (dockerd.unix, dockerd.tcp):
        async with engine_of(spec) as engine:
            call = invocation("sh", "-c", "head -c 3000000 /dev/zero; echo end >&2")
            async with engine.start(call, endless()) as container:
                read, events = 0, aiter(container)
                async for event in events:
                    if isinstance(event, Output) and event.stream == "stdout":
                        read += len(event.data)
                    if read < 500_000:
                        await asyncio.sleep(0.02)
                    last = event
            assert read == 3_000_000
            assert last == Exit(0)


async def test_a_call_that_is_cancelled_at_any_moment_leaves_nothing(dockerd: Dockerd) -> None:
    async with engine_of(dockerd.unix) as engine:

        async def call() -> None:
            async with engine.start(invocation(*SLEEP), streams.source("x")) as container:
                await streams.collect(container)

        for moment in range(12):
            task = asyncio.create_task(call())
            await asyncio.sleep(0.02 * moment)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ids_of(dockerd) == set(), f"cancelled after {0.02 * moment:.2f} s"


async def test_closing_the_engine_ends_what_runs(dockerd: Dockerd) -> None:
    engine = DockerEngine.connect(dockerd.unix)
    async with begun(engine, *SLEEP) as events:
        await engine.aclose()
        await engine.aclose()
        assert [event async for event in events] == [Exit(137, "killed")]
    with pytest.raises(EngineUnavailable, match="closed"):
        await engine.prepare(Function(name="f", image="busybox"))


CALLER = """
import asyncio, sys
from wherry import streams
from wherry.engines.docker.engine import DockerEngine
from wherry.models import Function, Invocation

async def main():
    engine = DockerEngine.connect(sys.argv[1])
    function = Function(name="f", image="busybox", command=("sleep", "300"))
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        print(container.id, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_the_first_call_of_an_engine_removes_what_a_killed_caller_left(
    dockerd: Dockerd,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, dockerd.unix], stdout=subprocess.PIPE
    ) as caller:
        assert caller.stdout
        orphan = (await asyncio.to_thread(caller.stdout.readline)).decode().strip()
        caller.kill()
    assert orphan in await asyncio.to_thread(ids_of, dockerd)
    async with engine_of(dockerd.unix) as engine, AsyncClient(engine) as client:
        await client.run("busybox", ["true"])
        await engine.settled()
    assert orphan not in await asyncio.to_thread(ids_of, dockerd)


async def test_what_a_killed_caller_left_is_reaped_and_nothing_else(dockerd: Dockerd) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CALLER, dockerd.unix], stdout=subprocess.PIPE
    ) as caller:
        assert caller.stdout
        orphan = (await asyncio.to_thread(caller.stdout.readline)).decode().strip()
        async with engine_of(dockerd.unix) as engine:
            assert await engine.reap() == []  # its caller lives
            async with begun(engine, *SLEEP):
                await engine.settled()  # the look around of the first call is over
                other = await _of_another_host(engine)
                os.kill(caller.pid, signal.SIGKILL)
                caller.wait()
                left = await asyncio.to_thread(ids_of, dockerd)
                assert orphan in left
                assert await engine.reap() == [f"wherry-{orphan}"]
                assert await asyncio.to_thread(ids_of, dockerd) == left - {orphan}
            await engine.management.remove(other)


async def _of_another_host(engine: DockerEngine) -> str:
    """Make a container whose owner, of a pid that nobody has, is not on this host."""
    labels = {"wherry.owner": "0b00-another-boot/4026531836/4194300/1", "wherry.invocation": "x"}
    body = {"Image": "busybox", "Labels": labels}
    query = {"name": f"another-{time.monotonic_ns()}"}
    made = await engine.client.call("POST", "/containers/create", query=query, data=body)
    identifier: str = made["Id"]
    return identifier


async def test_an_address_where_nobody_is_is_unavailable_by_name() -> None:
    for address in (
        Address(scheme="unix", path="/proc/nowhere.sock"),
        Address(scheme="tcp", host="127.0.0.1", port=1),
    ):
        engine = DockerEngine(address)
        with pytest.raises(EngineUnavailable, match=str(address)):
            await engine.prepare(Function(name="f", image="busybox"))
        await engine.aclose()


async def test_plain_speech_to_a_tls_engine_and_strangers_are_told_apart(
    dockerd_tls: Dockerd, tmp_path: Path
) -> None:
    tls = dockerd_tls.tls
    assert tls
    there = f"127.0.0.1:{dockerd_tls.port}"
    for spec, words in (
        (f"docker+tcp://{there}", "HTTP request to an HTTPS server|0.0"),
        (f"docker+tls://{there}", "certificate verify failed"),
        (f"docker+tls://{there}?ca={tls.ca}", "certificate"),
        (f"docker+tls://{there}?ca={tmp_path / 'none.pem'}", "No such file"),
    ):
        engine = DockerEngine.connect(spec)
        with pytest.raises(EngineUnavailable, match=words):
            await engine.prepare(Function(name="f", image="busybox"))
        await engine.aclose()


@pytest.mark.parametrize("transport", ["unix", "tcp"])
async def test_a_program_that_never_stops_writing_is_killed_at_once(
    dockerd: Dockerd, transport: str
) -> None:
    """The engine answers a kill when the output has been read, and the reader is who kills."""
    async with engine_of(dockerd.unix if transport == "unix" else dockerd.tcp) as engine:
        for _ in range(5):
            async with engine.start(invocation("cat", "/dev/zero"), streams.NOTHING) as container:
                events = aiter(container)
                await anext(events)
                async with asyncio.timeout(10):
                    await container.kill()
                rest = [event async for event in events]
            assert rest[-1] == Exit(137, "killed")
