"""The proxy's wire between the docker command and a real engine, without a policy in between."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wsproto
from tests.support.certificates import Certificates, make_certificates
from tests.support.proxy_wire import passing
from tests.support.require import require

from wherry.engines.docker.address import Address
from wherry.proxy.decoder import json_objects
from wherry.proxy.front import Front, listen_tls, listen_unix
from wherry.proxy.tls import server_context
from wherry.proxy.upstream import Upstream

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

SECONDS = 60.0
TIMES = 6


class Docker:
    """The docker command of one address."""

    def __init__(self, *options: str) -> None:
        self._words = [require("docker"), *options]

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._words,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        )

    async def __call__(self, *words: str, stdin: bytes | None = None) -> bytes:
        """Run it to its end and return its output; ``stdin`` None is none at all."""
        process = await self.start(*words)
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate(stdin)
        assert process.returncode == 0, (words, out, err)
        return out


@pytest.fixture
async def upstream(dockerd: Dockerd) -> Upstream:
    return Upstream(Address(scheme="unix", path=str(dockerd.socket)))


@pytest.fixture
async def path(upstream: Upstream) -> AsyncIterator[Path]:
    """Return the socket of a front with everything behind it."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        front = Front(passing(upstream))
        listener = listen_unix(Path(directory) / "docker.sock", front)
        yield Path(directory) / "docker.sock"
        await listener.close()
        assert not (Path(directory) / "docker.sock").exists()
        await front.stop(grace=5)


@pytest.fixture
def docker(path: Path) -> Docker:
    return Docker("-H", f"unix://{path}")


@pytest.fixture
async def sleeping(docker: Docker) -> AsyncIterator[str]:
    """Return a container that does nothing."""
    container = (await docker("run", "-d", "busybox", "sleep", "600")).decode().strip()
    yield container
    await docker("rm", "-f", container)


async def test_input_output_and_exit_codes_are_those_of_a_run(docker: Docker) -> None:
    data = os.urandom(3 << 20)
    assert await docker("run", "--rm", "-i", "busybox", "cat", stdin=data) == data
    process = await docker.start("run", "--rm", "busybox", "sh", "-c", "echo o; echo e >&2; exit 7")
    async with asyncio.timeout(SECONDS):
        assert await process.communicate() == (b"o\n", b"e\n")
    assert process.returncode == 7


async def test_an_exec_gives_its_output_every_time(docker: Docker, sleeping: str) -> None:
    for _ in range(TIMES):
        assert await docker("exec", sleeping, "echo", "out") == b"out\n"
    assert await docker("exec", "-i", sleeping, "wc", "-c", stdin=b"x" * 100_000) == b"100000\n"


async def test_under_tls_an_exec_gives_its_output_every_time(
    upstream: Upstream, sleeping: str, tmp_path: Path
) -> None:
    files = make_certificates(tmp_path)
    async with secured(upstream, files) as docker:
        for _ in range(TIMES):
            assert await docker("exec", sleeping, "echo", "out") == b"out\n"
        data = os.urandom(1 << 20)
        assert await docker("exec", "-i", sleeping, "cat", stdin=data) == data


@asynccontextmanager
async def secured(upstream: Upstream, files: Certificates) -> AsyncIterator[Docker]:
    front = Front(passing(upstream))
    context = server_context(ca=files.ca, cert=files.server_cert, key=files.server_key)
    ours = hashlib.sha256(ssl.PEM_cert_to_DER_cert(files.cert.read_text())).hexdigest()
    listener = listen_tls(
        "127.0.0.1",
        0,
        context=context,
        choose=lambda peer: front if peer.certificate == ours else None,
    )
    trust = ("--tlscacert", str(files.ca), "--tlscert", str(files.cert), "--tlskey", str(files.key))
    yield Docker("-H", f"tcp://127.0.0.1:{listener.port}", "--tlsverify", *trust)
    await listener.close()
    await front.stop(grace=5)


async def test_logs_are_followed_until_their_reader_leaves(docker: Docker) -> None:
    script = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.05; done"
    container = (await docker("run", "-d", "busybox", "sh", "-c", script)).decode().strip()
    following = await docker.start("logs", "-f", container)
    assert following.stdout
    async with asyncio.timeout(SECONDS):
        assert [await following.stdout.readline() for _ in range(5)] == [
            b"%d\n" % number for number in range(5)
        ]
        following.kill()
        await following.wait()
    waiting = await docker.start("wait", container)
    await docker("kill", container)
    async with asyncio.timeout(SECONDS):
        assert await waiting.communicate() == (b"137\n", b"")
    assert (await docker("logs", container)).startswith(b"0\n1\n2\n")
    await docker("rm", container)


async def test_events_come_object_by_object(docker: Docker, upstream: Upstream) -> None:
    query = {"filters": json.dumps({"type": ["container"]})}
    async with upstream.exchange("GET", "/events", query=query) as answer:
        container = (await docker("create", "busybox")).decode().strip()
        await docker("rm", container)
        seen = []
        async with asyncio.timeout(SECONDS):
            async for event in json_objects(answer.stream()):
                if event["Actor"]["ID"] == container:
                    seen.append(event["Action"])
                if event["Action"] == "destroy":
                    break
    assert seen == ["create", "destroy"]


async def test_the_engine_hears_that_a_client_has_left(
    docker: Docker, path: Path, upstream: Upstream
) -> None:
    """``wait`` on a container that runs is only of use to who waits."""
    container = (await docker("run", "-d", "busybox", "sleep", "600")).decode().strip()
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"POST /v1.41/containers/%b/wait HTTP/1.1\r\nHost: x\r\n" % container.encode())
    writer.write(b"Content-Length: 0\r\n\r\n")
    async with asyncio.timeout(SECONDS):
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"  # before there is a result
        writer.close()
        await writer.wait_closed()
    await docker("rm", "-f", container)


async def test_files_are_copied_in_both_directions(
    docker: Docker, sleeping: str, tmp_path: Path
) -> None:
    data = os.urandom(2 << 20)
    (tmp_path / "in").write_bytes(data)
    await docker("cp", str(tmp_path / "in"), f"{sleeping}:/tmp/file")
    await docker("cp", f"{sleeping}:/tmp/file", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == data


async def test_a_websocket_is_attached(docker: Docker, path: Path) -> None:
    container = (
        await docker("create", "-i", "busybox", "sh", "-c", "read x; echo got $x")
    ).decode()
    reader, writer = await asyncio.open_unix_connection(str(path))
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    target = f"/v1.41/containers/{container.strip()}/attach/ws?stream=1&stdin=1&stdout=1"
    writer.write(client.send(wsproto.events.Request(host="x", target=target)))
    said = b""
    async with asyncio.timeout(SECONDS):
        while b"got it" not in said:
            for event in client.events():
                match event:
                    case wsproto.events.AcceptConnection():
                        await docker("start", container.strip())
                        writer.write(client.send(wsproto.events.BytesMessage(data=b"it\n")))
                    case wsproto.events.BytesMessage(data=data):
                        said += data
                    case wsproto.events.TextMessage(data=text):
                        said += text.encode()
            if b"got it" not in said:
                client.receive_data(await reader.read(1 << 16) or None)
    writer.close()
    await docker("rm", "-f", container.strip())
