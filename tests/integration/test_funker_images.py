"""Images that were made for Funker, hosted as functions: nothing in them knows of us."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.local_calls import data_with_busybox
from tests.support.require import missing
from tests.support.serve_process import serving
from tests.support.served_calls import ask, deploy

from wherry import funker
from wherry.client import AsyncClient
from wherry.engines import connect
from wherry.engines.relay import FUNKER, has_funker
from wherry.functions.funker import answering
from wherry.models import Function, Ready

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

UPPER = ("nc", "-l", "-p", "9999", "-e", "tr", "a-z", "A-Z")
"""Serves one connection, reads to the half-close, answers, ends: a Funker function."""
NOTHING = ("nc", "-l", "-p", "9999", "-e", "sh", "-c", "cat >/dev/null")


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    if not has_funker():
        missing("a C compiler when wherry was installed")


def hosted(*command: str) -> Function:
    return answering(Function(name="f", image="busybox", command=command), port=9999)


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    with data_with_busybox() as data:
        yield data


@asynccontextmanager
async def client_of(engine: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(connect(engine)) as client, asyncio.timeout(60):
        yield client


async def check(client: AsyncClient) -> None:
    found = await client.invoke(hosted(*UPPER), input='{"a": "b"}')
    assert (found.stdout, found.exit.code) == (b'{"A": "B"}', 0), found
    empty = await client.invoke(hosted(*NOTHING), input="{}")
    assert (empty.stdout, empty.exit.code) == (b"", 1)
    assert b"answered nothing" in empty.stderr


async def test_an_unmodified_image_is_called_through_stdin_and_stdout_locally(data: Path) -> None:
    async with client_of(f"local:{data}") as client:
        await check(client)


@pytest.mark.root
async def test_an_unmodified_image_is_called_through_stdin_and_stdout_on_docker(
    dockerd: Dockerd,
) -> None:
    async with client_of(dockerd.unix) as client:
        await check(client)


async def test_ready_replicas_listen_before_their_calls(data: Path) -> None:
    function = replace(hosted(*UPPER), ready=Ready(min=2, max=4, level="started"))
    async with client_of(f"local:{data}") as client:
        await client.prepare(function)
        found = await asyncio.gather(
            *(client.invoke(function, input=f'"x{number}"') for number in range(8))
        )
        assert [each.stdout.decode() for each in found] == [f'"X{n}"' for n in range(8)]
        assert client.pool_stats["f"].hits > 0


async def test_any_function_is_called_through_a_funker_port_of_a_server(data: Path) -> None:
    config = data / "wherry.toml"
    config.write_text('[funker]\nupper = "127.0.0.1:0"\n')
    with serving(data, "--no-auth", "--config", str(config), engine="local") as served:
        deploy(served, "upper", list(UPPER), funker="9999")
        where = next(line.split()[-1] for line in served.said if "funker: upper at" in line)
        answers = await asyncio.gather(
            *(funker.acall(where, key=f"v{number}") for number in range(6))
        )
        assert answers == [{"KEY": f"V{number}"} for number in range(6)]
        assert ask(served, "POST", "/function/upper", b'"http too"') == (200, b'"HTTP TOO"')


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [(("sh", "-c", "exit 7"), 7, "before it accepted"), (("no-such-program",), 127, "no-such"),
     (("sh", "-c", "kill -9 $$"), 137, "before it accepted"), (("/etc",), 126, "/etc")],
)  # fmt: skip
def test_a_program_that_does_not_listen_ends_the_call(
    command: tuple[str, ...], code: int, said: str
) -> None:
    done = subprocess.run(
        [FUNKER, "1", *command], input=b"{}", capture_output=True, timeout=30, check=False
    )
    assert done.returncode == code
    assert said in done.stderr.decode()
    assert done.stdout == b""


def test_what_the_program_prints_is_not_the_answer() -> None:
    port = free_port()
    script = f"echo printed; exec python3 -c '{_SERVER.format(port=port)}'"
    done = subprocess.run(
        [FUNKER, str(port), "sh", "-c", script], input=b'"x"', capture_output=True, timeout=30,
        check=False,
    )  # fmt: skip
    assert json.loads(done.stdout) == ["x"]
    assert b"printed" in done.stderr
    assert done.returncode == 0


_SERVER = """
import json, socket
listener = socket.create_server(("127.0.0.1", {port}))
connection, _ = listener.accept()
data = b""
while piece := connection.recv(65536): data += piece
connection.sendall(json.dumps([json.loads(data)]).encode())
connection.close()
"""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


async def test_megabytes_go_through(data: Path) -> None:
    document = json.dumps("x" * 3_000_000)
    function = hosted("nc", "-l", "-p", "9999", "-e", "cat")
    async with client_of(f"local:{data}") as client:
        result = await client.invoke(function, input=document)
        assert result.stdout == document.encode()
