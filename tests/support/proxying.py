"""The scoped Docker API in front of the tests' own engine, and the docker command on both."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.docker_image import program_archive
from tests.support.require import require

from wherry.engines.docker.address import Address
from wherry.proxy.proxy import Proxy, ProxyOptions, running_proxy

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

CLI_IMAGE = "docker-cli:latest"
SHOWN = 'images = ["busybox", "docker-cli"]\n'
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a program said, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Its output, when it succeeded."""
        assert self.code == 0, self.stderr
        return self.stdout


class House:
    """One proxy, and where its sockets and its engine are."""

    def __init__(self, dockerd: Dockerd, directory: Path) -> None:
        self.dockerd = dockerd
        self.directory = directory
        self.proxy: Proxy

    @property
    def options(self) -> ProxyOptions:
        """What its proxy is told."""
        return ProxyOptions(
            address=Address(scheme="unix", path=str(self.dockerd.socket)),
            directory=self.directory / "proxy",
            sockets=self.directory / "s",
            cgroup_base=f"{self.dockerd.cgroup}/proxy",
        )

    async def add(self, name: str, policy: str = SHOWN, **options: Any) -> Path:
        """Make a tenant; returns its socket."""
        await self.proxy.add(name, policy=policy, **options)
        path = self.directory / f"{name}.sock"
        await self.proxy.listen(name, path)
        return path

    async def docker(self, socket: Path, *words: str, stdin: str = "") -> Said:
        """Run the docker command on a socket, to its end."""
        return await run(self.directory, socket, *words, stdin=stdin)

    async def events(self, socket: Path, *, until: str) -> list[dict[str, Any]]:
        """Return a tenant's events from the beginning to the first of an action."""
        reader, writer = await asyncio.open_unix_connection(str(socket), limit=2**20)
        writer.write(b"GET /v1.41/events?since=1 HTTP/1.0\r\nHost: docker\r\n\r\n")
        found: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(_PATIENCE):
                await reader.readuntil(b"\r\n\r\n")
                while not found or found[-1]["Action"] != until:
                    found.append(json.loads(await reader.readline()))
        finally:
            writer.close()
        return found

    def direct(self, method: str, path: str) -> Any:
        """Ask the engine without any proxy."""
        return json.loads(self.dockerd.request(method, f"/v1.41{path}") or b"null")

    def containers(self, tenant: str = "") -> list[dict[str, Any]]:
        """Return the engine's containers, of one tenant or all."""
        found = self.direct("GET", "/containers/json?all=1")
        label = "wherry.proxy.tenant"
        return [each for each in found if not tenant or each["Labels"].get(label) == tenant]


async def run(directory: Path, socket: Path, *words: str, stdin: str = "") -> Said:
    """Run the docker command on a socket, to its end."""
    program = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else require("docker")
    process = await asyncio.create_subprocess_exec(
        program, *words,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), "DOCKER_HOST": f"unix://{socket}",
             "DOCKER_BUILDKIT": "0"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(_PATIENCE):
            stdout, stderr = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Said(process.returncode, stdout.decode(), stderr.decode())


@asynccontextmanager
async def house_on(dockerd: Dockerd) -> AsyncIterator[House]:
    """Run a proxy; everything of its tenants is gone when the block has been left."""
    directory = Path(tempfile.mkdtemp(prefix="wherry-proxy-", dir="/var/tmp"))
    house = House(dockerd, directory)
    try:
        async with running_proxy(house.options) as proxy:
            house.proxy = proxy
            yield house
            for tenant in proxy.registry.tenants():
                if proxy.registry.has(tenant.name):
                    await proxy.end(tenant.name)
    finally:
        shutil.rmtree(directory)


def load_cli_image(dockerd: Dockerd) -> None:
    """Give the engine an image with the docker command in it."""
    program = "/usr/bin/docker" if Path("/usr/bin/docker").exists() else require("docker")
    dockerd.request("POST", "/images/load?quiet=1", program_archive(CLI_IMAGE, program))
