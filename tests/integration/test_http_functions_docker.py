"""Servers in containers of a Docker engine on this machine, kept and reached without a network."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.docker_harness import ids_of
from tests.support.kept_servers import deployed
from tests.support.waiting import wait_until

from wherry.client import AsyncClient
from wherry.engines.docker.engine import DockerEngine
from wherry.models import Function
from wherry.service.keeping import Keeping

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

    from wherry.functions.model import Deployed


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    made = DockerEngine.connect(dockerd.unix)
    yield made
    await made.aclose()


def httpd(**fields: object) -> Deployed:
    web = deployed(port=8080)
    command = ("httpd", "-f", "-p", "127.0.0.1:8080", "-h", "/etc")
    function = Function(name="web", image="busybox", command=command)
    return dataclasses.replace(web, function=dataclasses.replace(function, **fields))  # type: ignore[arg-type]


async def ask(connection: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    request = b"GET /group HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    await loop.sock_sendall(connection, request)
    answer = b""
    while data := await loop.sock_recv(connection, 65536):
        answer += data
    return answer


@pytest.mark.parametrize("fields", [{}, {"read_only": True}, {"user": "1000:1000"}])
async def test_a_server_is_reached_whoever_it_runs_as(
    fields: dict[str, object], engine: DockerEngine, dockerd: Dockerd, tmp_path: Path
) -> None:
    async with AsyncClient(engine) as client, asyncio.timeout(60):
        keeping, web = Keeping(client, tmp_path / "doors"), httpd(**fields)
        try:
            for _ in range(3):
                async with keeping.connection(web) as connection:
                    assert b"root:x:0:" in await ask(connection)
        finally:
            await keeping.aclose()
        await engine.settled()
        assert await asyncio.to_thread(ids_of, dockerd) == set()


async def test_a_server_ends_with_a_process_that_is_killed(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    script = Path(__file__).parents[1] / "support" / "keeping_process.py"
    process = await asyncio.create_subprocess_exec(
        sys.executable, script, dockerd.unix, tmp_path / "doors", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"up\n"
            assert await asyncio.to_thread(running, dockerd) == 1
    finally:
        process.kill()
        await process.wait()
    await asyncio.to_thread(wait_until, lambda: running(dockerd) == 0)
    for item in json.loads(dockerd.request("GET", "/containers/json?all=1")):
        dockerd.request("DELETE", f"/containers/{item['Id']}?force=1&v=1")


def running(dockerd: Dockerd) -> int:
    return len(json.loads(dockerd.request("GET", "/containers/json")))
