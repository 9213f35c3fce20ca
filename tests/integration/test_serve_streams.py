"""A served gateway with real sockets and real containers: long streams, and callers who leave."""

from __future__ import annotations

import array
import asyncio
import fcntl
import http.client
import socket
import subprocess
import termios
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.local_harness import data_directory, local_engine
from tests.support.require import require
from tests.support.serve_process import Served, serving
from tests.support.served_calls import (
    ask,
    connected,
    container,
    deploy,
    eventually,
    forget_peak,
    peak_memory,
)

MIB = 1024 * 1024
LONG = 1024 * MIB


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with data_directory() as data:
        local_engine(data)
        with serving(data, "--no-auth", "--no-access-log", engine="local") as running:
            deploy(running, "cat", ["cat"], stream="true")
            deploy(running, "held", ["cat"])
            deploy(running, "sleep", ["sleep", "1000"])
            deploy(running, "zeros", ["cat", "/dev/zero"])
            deploy(running, "short", ["head", "-c", "3"])
            deploy(running, "fails", ["sh", "-c", "echo begun; cat; exit 7"], stream="true")
            yield running


def head(function: str, call: str, *more: str, version: str = "1.1") -> tuple[str, ...]:
    return (
        f"POST /function/{function} HTTP/{version}",
        "Host: localhost",
        f"X-Call-Id: {call}",
        *more,
    )


def test_a_gibibyte_goes_through_in_flat_memory(served: Served) -> None:
    block = bytes(range(256)) * (MIB // 256)
    ask(served, "POST", "/function/cat", block)
    forget_peak(served)
    before = peak_memory(served)
    with connected(served, *head("cat", "long", f"Content-Length: {LONG}")) as client:
        sending = threading.Thread(target=lambda: all(send(client, block) for _ in range(1024)))
        sending.start()
        answer = http.client.HTTPResponse(client)
        answer.begin()
        size, found = 0, 0
        while piece := answer.read(256 * 1024):
            size += len(piece)
            found = zlib.crc32(piece, found)
        sending.join()
    wanted = 0
    for _ in range(1024):
        wanted = zlib.crc32(block, wanted)
    assert (size, found) == (LONG, wanted)
    assert peak_memory(served) - before < 24 * MIB


def send(client: socket.socket, data: bytes) -> bool:
    client.sendall(data)
    return True


def test_a_caller_that_does_not_read_stops_the_program(served: Served) -> None:
    forget_peak(served)
    before = peak_memory(served)
    with connected(served, *head("zeros", "slow", "Content-Length: 0")) as client:
        assert client.recv(1)
        seen = [-1]

        def stands() -> bool:
            seen.append(written_by(served, "slow"))
            return seen[-1] == seen[-2] > 0

        eventually(stands)
        assert seen[-1] < 64 * MIB
        assert client.recv(65536)
    eventually(lambda: container(served, "slow") is None)
    assert peak_memory(served) - before < 16 * MIB


def written_by(served: Served, call: str) -> int:
    """Return how much the program of a call has written so far."""
    found = container(served, call)
    assert found is not None
    total = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) >= found.pids[0]:
            try:
                program = (entry / "cmdline").read_bytes().startswith(b"cat\0/dev/zero")
                io = (entry / "io").read_text() if program else ""
            except OSError:
                continue
            total += int(io.split()[3]) if io else 0
    return total


@pytest.mark.parametrize("size", [1, 10 * MIB])
def test_a_caller_who_leaves_in_the_answer_ends_the_container(served: Served, size: int) -> None:
    with connected(served, *head("zeros", f"left-{size}", "Content-Length: 0")) as client:
        left = size
        while left > 0:
            left -= len(client.recv(min(left, 65536)))
    eventually(lambda: container(served, f"left-{size}") is None)


def test_a_caller_who_leaves_before_its_body_ended_ends_the_container(served: Served) -> None:
    with connected(served, *head("held", "half", "Content-Length: 1000000")) as client:
        client.sendall(b"half of it")
        eventually(lambda: container(served, "half"))
    eventually(lambda: container(served, "half") is None)


def test_a_caller_who_leaves_while_nobody_reads_its_body_ends_the_container(
    served: Served,
) -> None:
    with connected(served, *head("sleep", "unread", "Content-Length: 100000000")) as client:
        eventually(lambda: container(served, "unread"))
        # What the server's end no longer takes would keep the news of our leaving behind it:
        # no server hears of that before it reads, or the kernel gives up after minutes.
        for _ in range(6):
            client.sendall(bytes(64 * 1024))
            eventually(lambda: unsent(client) == 0)
    eventually(lambda: container(served, "unread") is None)


def unsent(client: socket.socket) -> int:
    """Return the bytes that the other end's kernel does not have yet (SIOCOUTQ of tcp(7))."""
    buffer = array.array("i", [0])
    fcntl.ioctl(client, termios.TIOCOUTQ, buffer)
    return buffer[0]


def test_a_caller_who_leaves_with_the_whole_body_sent_ends_the_container(served: Served) -> None:
    with connected(served, *head("sleep", "sent", "Content-Length: 2")) as client:
        client.sendall(b"hi")
        eventually(lambda: container(served, "sent"))
    eventually(lambda: container(served, "sent") is None)


def test_a_program_that_reads_a_little_of_a_long_body_is_answered(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("POST", "/function/short", bytes(8 * MIB))
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, bytes(3))
    connection.close()


def test_an_answer_that_fails_late_cannot_be_taken_for_complete(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    connection.request("POST", "/function/fails", b"some")
    answer = connection.getresponse()
    assert answer.status == 200
    with pytest.raises(http.client.IncompleteRead):
        answer.read()
    connection.close()


def test_an_old_client_sees_a_reset_where_an_answer_was_cut(served: Served) -> None:
    with connected(served, *head("fails", "old", "Content-Length: 4", version="1.0")) as client:
        assert read_until(client, b"begun\n").startswith(b"HTTP/1.1 200 ")
        client.sendall(b"some")
        with pytest.raises(ConnectionResetError):
            read_until(client, None)


def test_an_old_client_gets_a_whole_answer(served: Served) -> None:
    with connected(served, *head("cat", "ten", "Content-Length: 4", version="1.0")) as client:
        client.sendall(b"boat")
        assert read_until(client, None).endswith(b"\r\n\r\nboat")


def read_until(client: socket.socket, mark: bytes | None) -> bytes:
    """Read to ``mark``, or to the end."""
    found = b""
    while (mark is None or mark not in found) and (data := client.recv(65536)):
        found += data
    return found


def test_curl_is_told_to_go_on_before_it_sends_a_large_body(served: Served, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(3 * MIB))
    found = subprocess.run(
        [require("curl"), "-sS", "-v", "-o", tmp_path / "answer", "--data-binary", f"@{body}",
         "-H", "Expect: 100-continue", f"{served.url}/function/held"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "HTTP/1.1 100 Continue" in found.stderr
    assert (tmp_path / "answer").read_bytes() == bytes(3 * MIB)


async def test_two_hundred_callers_at_once_are_all_answered(served: Served) -> None:
    async def caller(number: int) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        statuses = []
        for turn in range(3):
            body = f"{number}-{turn}".encode()
            writer.write(
                b"POST /function/held HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            length = next(line for line in answer if line.startswith("content-length"))
            assert await reader.readexactly(int(length.split()[1])) == body
            statuses.append(int(answer[0].split()[1]))
        writer.close()
        await writer.wait_closed()
        return statuses

    async with asyncio.timeout(100):
        found = await asyncio.gather(*(caller(number) for number in range(200)))
    assert {status for statuses in found for status in statuses} == {200}
