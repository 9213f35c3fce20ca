"""The relay, between a door of ours and a server of ours: no container around it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.require import require

from wherry.engines.relay import ACCEPTED, RELAY, UP

FLAGS = ["-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WAIT = ("sleep", "60")
PATIENCE = 20.0
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="session")
def relays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Compile the relay as it is shipped, and so that it notices its own mistakes."""
    directory = tmp_path_factory.mktemp("relay")
    compilers = {"small": ["musl-gcc", *FLAGS], "sanitized": ["gcc", *SANITIZED]}
    made = {}
    for name, (compiler, *flags) in compilers.items():
        made[name] = directory / name
        source = RELAY.with_suffix(".c")
        command = [require(compiler), *flags, "-o", str(made[name]), str(source)]
        subprocess.run(command, check=True, capture_output=True)
    return made


@pytest.fixture(params=["small", "sanitized"])
def relay(relays: dict[str, Path], request: pytest.FixtureRequest) -> Path:
    return relays[request.param]


@dataclass
class Running:
    process: asyncio.subprocess.Process
    door: socket.socket
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def said(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.door, 1)

    async def connect(self) -> Stream:
        return await asyncio.open_unix_connection(sock=await self.connected())

    async def connected(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            async with self.asking:
                socket.send_fds(self.door, [b"C"], [theirs.fileno()])
                assert await self.said() == ACCEPTED
        ours.setblocking(False)
        return ours

    async def end(self) -> int:
        return await self.process.wait()


@asynccontextmanager
async def running(relay: Path, where: Path, port: int, *program: str) -> AsyncIterator[Running]:
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    with listener:
        listener.bind(str(where / "door"))
        listener.listen(1)
        process = await asyncio.create_subprocess_exec(
            relay, str(where / "door"), str(port), *program, stderr=asyncio.subprocess.PIPE
        )
        door, _ = await asyncio.get_running_loop().sock_accept(listener)
    with door:
        try:
            async with asyncio.timeout(PATIENCE):
                yield Running(process, door)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def served(serve: Serve, host: str = "127.0.0.1") -> AsyncIterator[int]:
    async def tidy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(tidy, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def test_megabytes_go_both_ways_at_one_time(relay: Path, tmp_path: Path) -> None:
    data = os.urandom(8 << 20)
    async with served(echo) as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        reader, writer = await it.connect()

        async def send() -> None:
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        _, back = await asyncio.gather(send(), reader.read())
        writer.close()
    assert back == data


async def test_many_connections_do_not_mix(relay: Path, tmp_path: Path) -> None:
    async def one(it: Running, number: int) -> bytes:
        reader, writer = await it.connect()
        writer.write(b"%d," % number * 5000)
        writer.write_eof()
        back = await reader.read()
        writer.close()
        return back

    async with served(echo) as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        backs = await asyncio.gather(*(one(it, number) for number in range(50)))
    assert backs == [b"%d," % number * 5000 for number in range(50)]


async def test_the_end_of_a_request_is_a_half_close(relay: Path, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got = await reader.read()
        writer.write(b"%d bytes" % len(got))
        await writer.drain()

    async with served(answer) as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        reader, writer = await it.connect()
        writer.write(b"x" * 1000)
        writer.write_eof()
        assert await reader.read() == b"1000 bytes"
        writer.close()


async def test_a_caller_who_leaves_is_told_to_the_server(relay: Path, tmp_path: Path) -> None:
    here, gone = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(5) == b"hello":
            here.set()
            await reader.read()
            gone.set()

    async with served(wait) as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        _, writer = await it.connect()
        writer.write(b"hello")
        await here.wait()
        writer.close()
        await gone.wait()


async def test_a_server_that_does_not_read_stops_the_sender(relay: Path, tmp_path: Path) -> None:
    asleep = asyncio.Event()

    async def sleep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asleep.wait()

    async with served(sleep) as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(it.door, [b"C"], [theirs.fileno()])
        ours.setblocking(False)
        with ours:
            sent = await fill(ours)
        asleep.set()
    assert sent < 32 << 20


async def fill(sock: socket.socket) -> int:
    """Send until nothing has been taken for a while."""
    sent = 0
    while True:
        try:
            async with asyncio.timeout(0.05):
                await asyncio.get_running_loop().sock_sendall(sock, bytes(65536))
        except TimeoutError:
            return sent
        sent += 65536


async def test_a_port_that_nobody_listens_on_ends_the_connection(
    relay: Path, tmp_path: Path
) -> None:
    async with running(relay, tmp_path, free_port(), *WAIT) as it:
        reader, writer = await it.connect()
        assert await reader.read() == b""
        writer.close()


async def test_a_server_on_the_other_loopback_is_found(relay: Path, tmp_path: Path) -> None:
    async with served(echo, "::1") as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        reader, writer = await it.connect()
        writer.write(b"six")
        writer.write_eof()
        assert await reader.read() == b"six"
        writer.close()


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -SEGV $$", 128 + signal.SIGSEGV)]
)
async def test_the_exit_code_is_the_programs(
    relay: Path, tmp_path: Path, script: str, code: int
) -> None:
    async with running(relay, tmp_path, free_port(), "sh", "-c", script) as it:
        assert await it.end() == code


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
async def test_a_program_that_cannot_be_started_is_named(
    relay: Path, tmp_path: Path, program: str, code: int
) -> None:
    async with running(relay, tmp_path, free_port(), program) as it:
        assert await it.end() == code
        assert it.process.stderr
        assert program.encode() in await it.process.stderr.read()


async def test_signals_reach_the_program(relay: Path, tmp_path: Path) -> None:
    script = "trap 'exit 5' TERM; echo ready >&2; while :; do sleep 0.05; done"
    async with running(relay, tmp_path, free_port(), "sh", "-c", script) as it:
        assert it.process.stderr
        assert await it.process.stderr.readline() == b"ready\n"
        it.process.terminate()
        assert await it.end() == 5


async def test_the_end_of_the_door_ends_the_program(relay: Path, tmp_path: Path) -> None:
    script = "trap 'exit 5' TERM; echo ready >&2; while :; do sleep 0.05; done"
    async with running(relay, tmp_path, free_port(), "sh", "-c", script) as it:
        assert it.process.stderr
        assert await it.process.stderr.readline() == b"ready\n"
        it.door.close()
        assert await it.end() == 5


async def test_a_program_that_does_not_listen_to_the_end_of_the_door_is_killed(
    relay: Path, tmp_path: Path
) -> None:
    script = "trap '' TERM; echo $$ >&2; exec sleep 60"
    async with running(relay, tmp_path, free_port(), "sh", "-c", script) as it:
        assert it.process.stderr
        child = int(await it.process.stderr.readline())
        pidfd = os.pidfd_open(child)
        it.door.close()
        assert await it.end() == 128 + signal.SIGKILL
        await readable(pidfd)


async def readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    seen = asyncio.Event()
    loop.add_reader(fd, seen.set)
    await seen.wait()
    loop.remove_reader(fd)
    os.close(fd)


def test_without_a_door_nothing_is_started(relay: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    words = [str(relay), str(tmp_path / "nowhere"), "80", "touch", str(made)]
    done = subprocess.run(words, capture_output=True, check=False)
    assert done.returncode == 125
    assert b"nowhere" in done.stderr
    assert not made.exists()


@pytest.mark.parametrize("words", [(), ("door",), ("door", "80"), ("door", "x", "true")])
def test_arguments_that_are_missing_are_told(relay: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run([relay, *words], capture_output=True, check=False)
    assert done.returncode == 125
    assert b"usage" in done.stderr


async def test_an_answer_comes_through_although_the_request_is_not_read(
    relay: Path, tmp_path: Path
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"too large")
        await writer.drain()

    async with served(refuse) as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        loop = asyncio.get_running_loop()
        for _ in range(20):
            # Not a stream: asyncio's gives up what it could still read when a write fails.
            with await it.connected() as connection:
                sending = asyncio.ensure_future(loop.sock_sendall(connection, bytes(4 << 20)))
                assert await loop.sock_recv(connection, 9) == b"too large"
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)


async def test_a_connection_that_is_left_open_holds_nobody_up(relay: Path, tmp_path: Path) -> None:
    async with served(echo) as port, running(relay, tmp_path, port, *WAIT) as it:
        assert await it.said() == UP
        streams = [await it.connect() for _ in range(3)]
        for _ in range(5):
            for reader, writer in streams:
                writer.write(b"ping")
                assert await reader.readexactly(4) == b"ping"
        for _, writer in streams:
            writer.close()
