"""The clients that people have get through a scoped socket what they get from the engine itself."""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.proxying import SHOWN, House, Said, house_on

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = [
    pytest.mark.root,
    # docker-py leaves the sockets of its raw streams to the garbage collector
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
LOOP = "echo out; echo err >&2; while :; do sleep 0.1; done"
OPEN = SHOWN + 'copy_in = "always"\n'


@pytest.fixture
async def house(dockerd: Dockerd) -> AsyncIterator[House]:
    async with house_on(dockerd) as house:
        yield house


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("given")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"bytes"))
    return buffer.getvalue()


def with_docker_py(path: Path) -> dict[str, Any]:
    """Do with docker-py what people do; returns all that came of it."""
    import docker
    from docker.errors import APIError, ContainerError, NotFound

    found: dict[str, Any] = {}
    client = docker.DockerClient(base_url=f"unix://{path}", timeout=30)
    try:
        found["ping"] = client.ping()
        found["run"] = client.containers.run("busybox", ["echo", "hi"], remove=True)
        try:
            client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 5"], remove=True)
        except ContainerError as error:
            found["failed"] = (error.exit_status, error.stderr)
        container: Any = client.containers.run(
            "busybox", ["sh", "-c", LOOP], detach=True, name="behind", labels={"a": "b"},
            mem_limit="64m", environment={"X": "1"},
        )  # fmt: skip
        found["exec"] = tuple(container.exec_run(["echo", "x"]))
        found["exec apart"] = container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)[1]
        found["exec fails"] = container.exec_run(["sh", "-c", "exit 9"]).exit_code
        found["put"] = container.put_archive("/tmp", archive())
        chunks, described = container.get_archive("/tmp/given")
        found["got"] = (b"".join(chunks).count(b"bytes"), described["size"])
        found["logs"] = (container.logs(stderr=False), container.logs(stdout=False))
        container.reload()
        found["seen"] = (container.name, container.status, container.labels,
                         "busybox:latest" in container.image.tags,
                         container.attrs["HostConfig"]["Memory"],
                         "X=1" in container.attrs["Config"]["Env"])  # fmt: skip
        found["top"] = len(container.top()["Processes"]) > 0
        found["stats"] = container.stats(stream=False)["name"].lstrip("/")
        container.rename("renamed")
        found["listed"] = [each.name for each in client.containers.list()]
        container.stop(timeout=0)
        found["waited"] = container.wait()["StatusCode"]
        container.remove()
        found["gone"] = [each.name for each in client.containers.list(all=True)]
        for kind in (client.containers, client.volumes, client.networks):
            try:
                kind.get("nothere")
            except NotFound as error:
                found.setdefault("missing", []).append(error.explanation)
        try:
            client.images.get("nothere")
        except NotFound as error:
            found["no image"] = type(error).__name__
        network = client.networks.create("net")
        found["network"] = (network.name, client.networks.get(network.id).name)
        network.remove()
        volume = client.volumes.create("vol")
        found["volume"] = (volume.name, [each.name for each in client.volumes.list()])
        volume.remove()
        found["image"] = client.images.get("busybox").id
        try:
            client.containers.create("busybox", name="x y")
        except APIError as error:
            found["bad name"] = error.response.status_code
        raw = client.containers.create("busybox", ["tr", "a-z", "A-Z"], stdin_open=True)
        stream = raw.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
        raw.start()
        stream._sock.sendall(b"shout\n")
        found["attached"] = _frame(stream._sock)
        stream._sock.close()
        raw.remove(force=True)
    finally:
        client.close()
    return found


def _frame(connection: Any) -> bytes:
    data = b""
    while len(data) < 14:
        data += connection.recv(4096)
    return data


async def with_aiodocker(path: Path) -> dict[str, Any]:
    """Do with aiodocker what people do; returns all that came of it."""
    import aiodocker

    found: dict[str, Any] = {}
    async with aiodocker.Docker(url=f"unix://{path}") as client:
        container: Any = await client.containers.create_or_replace(
            "behind", {"Image": "busybox", "Cmd": ["sh", "-c", LOOP]}
        )
        await container.start()
        executed = await container.exec(["echo", "x"])
        async with executed.start(detach=False) as stream:
            message = await stream.read_out()
            found["exec"] = message and (message.stream, message.data)
            found["ended"] = await stream.read_out()
        found["code"] = (await executed.inspect())["ExitCode"]
        followed = container.log(stdout=True, stderr=False, follow=True)
        async for line in followed:
            found["log"] = line
            break
        await container.put_archive("/tmp", archive())
        with await container.get_archive("/tmp/given") as taken:
            found["got"] = taken.getnames()
        found["listed"] = [each["Names"] for each in await client.containers.list()]
        await container.kill()
        found["waited"] = (await container.wait())["StatusCode"]
        await container.delete(force=True)
        found["gone"] = len(await client.containers.list(all=True))
        found["images"] = (await client.images.inspect("busybox"))["Id"]
        try:
            await client.containers.get("nothere")
        except aiodocker.exceptions.DockerError as error:
            found["missing"] = (error.status, error.message)
        shouting = await client.containers.create(
            {"Image": "busybox", "Cmd": ["tr", "a-z", "A-Z"], "OpenStdin": True, "StdinOnce": True,
             "AttachStdin": True, "AttachStdout": True}
        )  # fmt: skip
        async with shouting.attach(stdin=True, stdout=True, stderr=True) as attached:
            await shouting.start()
            await attached.write_in(b"shout\n")
            answer = await attached.read_out()
            found["attached"] = answer and answer.data
        await shouting.delete(force=True)
    return found


async def test_docker_py_gets_the_same(house: House) -> None:
    socket = await house.add("ci", OPEN)
    through = await asyncio.to_thread(with_docker_py, socket)
    direct = await asyncio.to_thread(with_docker_py, house.dockerd.socket)
    assert through == direct


async def test_aiodocker_gets_the_same(house: House) -> None:
    socket = await house.add("ci", OPEN)
    assert await with_aiodocker(socket) == await with_aiodocker(house.dockerd.socket)


def steady(said: Said) -> Said:
    """Leave out the line that the command writes only when it gives up its wait soon enough."""
    line = r"time=[^\n]*error waiting for container: context canceled[^\n]*\n"
    return replace(said, stderr=re.sub(line, "", said.stderr))


async def test_the_docker_command_gets_the_same(house: House) -> None:
    socket = await house.add("ci", OPEN)
    run = ("run", "-d", "--name", "behind", "busybox", "sh", "-c", LOOP)
    commands = (
        ("run", "--rm", "busybox", "sh", "-c", "echo o; echo e >&2; exit 4"),
        ("exec", "behind", "sh", "-c", "echo o; echo e >&2; exit 4"),
        ("exec", "-t", "behind", "tty"),
        ("logs", "behind"),
        ("inspect", "-f", "{{.Name}} {{.Config.Image}} {{.HostConfig.IpcMode}}", "behind"),
        ("ps", "-a", "--format", "{{.Names}} {{.Image}} {{.Command}}", "-f", "name=^/behind$"),
        ("port", "behind"),
        ("pause", "behind"),
        ("unpause", "behind"),
        ("inspect", "nothere"),
        ("start", "nothere"),
        ("volume", "create", "vol"),
        ("volume", "inspect", "-f", "{{.Name}} {{.Driver}}", "vol"),
        ("volume", "rm", "vol"),
        ("kill", "behind"),
        ("wait", "behind"),
        ("rm", "behind"),
        ("run", "--rm", "busybox", "nosuch"),
        ("images", "-q", "--no-trunc", "busybox"),
    )
    for place in (socket, house.dockerd.socket):
        assert (await house.docker(place, *run)).code == 0
    for words in commands:
        through = steady(await house.docker(socket, *words))
        direct = steady(await house.docker(house.dockerd.socket, *words))
        assert through == direct, words
