"""What an operator does with an engine: look, read, execute, stop, remove, pull; all typed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.execution import Execution
from wherry.engines.docker.failures import Refused, failing
from wherry.engines.docker.frames import Frames
from wherry.engines.docker.images import PullProgress, pull
from wherry.engines.docker.lines import json_lines
from wherry.engines.docker.values import ContainerDetails, ContainerSummary, EngineInfo, Happening
from wherry.images.credentials import StoredCredentials
from wherry.models import Output
from wherry.streams import NOTHING

if TYPE_CHECKING:
    from wherry.engines.base import Stdin
    from wherry.engines.docker.client import DockerClient, Query
    from wherry.images.credentials import CredentialSource

_ATTACHED = {"AttachStdout": True, "AttachStderr": True}


class Management:
    """One engine's containers and images.

    Containers are named by id or name. Every method raises as :class:`DockerClient` does:
    ``Refused`` with status 404 for what does not exist.
    """

    def __init__(self, client: DockerClient) -> None:
        self._client = client

    async def list(
        self,
        *,
        stopped: bool = False,
        labels: Mapping[str, str | None] | None = None,
    ) -> list[ContainerSummary]:
        """Return the running containers, and the ``stopped`` ones, that have every label.

        A label whose value is None may have any.
        """
        wanted = [key if value is None else f"{key}={value}" for key, value in _items(labels)]
        query: Query = {"all": stopped, "filters": json.dumps({"label": wanted})}
        found = await self._client.call("GET", "/containers/json", query=query)
        return [ContainerSummary.parse(item) for item in found]

    async def inspect(self, container: str) -> ContainerDetails:
        """Return what the engine knows of a container."""
        return ContainerDetails.parse(await self._client.call("GET", _path(container, "json")))

    async def logs(
        self, container: str, *, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[Output]:
        """Yield what the log driver has, and with ``follow`` what comes until the end."""
        details = await self.inspect(container)
        query = {
            "stdout": True,
            "stderr": True,
            "follow": follow,
            "tail": "all" if tail is None else tail,
        }
        request = await self._client.request("GET", _path(container, "logs"), query=query)
        frames = Frames()
        async with self._client.open(request) as response:
            with failing(f"reading the logs of {container}", address=self._client.address):
                async for chunk in response.stream():
                    for output in [Output("stdout", chunk)] if details.tty else frames.feed(chunk):
                        yield output
        frames.finish()

    @asynccontextmanager
    async def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        stdin: Stdin,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        tty: bool = False,
    ) -> AsyncIterator[Execution]:
        """Run one more program in a running container; its events are those of a container.

        With ``tty`` it has a terminal, and what it writes is all stdout. The end of ``stdin``
        is then the end of its output: an engine takes the terminal away.
        """
        feeds = not tty or stdin is not NOTHING
        body: dict[str, Any] = {
            **_ATTACHED,
            "AttachStdin": feeds,
            "Tty": tty,
            "Cmd": [*command],
            "Env": [f"{name}={value}" for name, value in _items(env)],
            "User": user or "",
            "WorkingDir": workdir or "",
        }
        made = await self._client.call("POST", _path(container, "exec"), data=body)
        execution = await Execution.begin(self._client, made["Id"], tty=tty)
        try:
            if feeds:
                execution.feed(stdin)
            yield execution
        finally:
            await execution.close()

    async def kill(self, container: str, *, signal: str = "SIGKILL") -> None:
        """Send a signal. Harmless if the container has already exited."""
        try:
            await self._client.call("POST", _path(container, "kill"), query={"signal": signal})
        except Refused as error:
            if error.status != 409:
                raise

    async def stop(self, container: str, *, grace: float = 10.0) -> None:
        """Send the container's stop signal, and kill it after ``grace`` seconds.

        Harmless if it has already exited.
        """
        query = {"t": round(min(grace, self._client.timeout / 2))}
        await self._client.call("POST", _path(container, "stop"), query=query)

    async def remove(self, container: str, *, force: bool = False) -> None:
        """Remove a container with its anonymous volumes; with ``force``, kill it before."""
        query = {"force": force, "v": True}
        await self._client.call("DELETE", f"/containers/{container}", query=query)

    def pull(
        self,
        image: str,
        *,
        platform: str | None = None,
        credentials: CredentialSource | None = None,
    ) -> AsyncIterator[PullProgress]:
        """Pull an image through the engine, and yield how far it is."""
        source = credentials or StoredCredentials(())
        return pull(self._client, image, credentials=source, platform=platform)

    async def remove_image(self, image: str, *, force: bool = False) -> None:
        """Remove an image."""
        await self._client.call("DELETE", f"/images/{image}", query={"force": force})

    async def events(
        self, *, labels: Mapping[str, str | None] | None = None
    ) -> AsyncIterator[Happening]:
        """Yield what happens to containers with every label, from now on and without an end."""
        wanted = [key if value is None else f"{key}={value}" for key, value in _items(labels)]
        query = {"filters": json.dumps({"type": ["container"], "label": wanted})}
        request = await self._client.request("GET", "/events", query=query)
        async with self._client.open(request) as response:
            with failing("reading events", address=self._client.address):
                async for item in json_lines(response.stream()):
                    yield Happening.parse(item)

    async def version(self) -> str:
        """Return the version of the API that is spoken."""
        return await self._client.version()

    async def info(self) -> EngineInfo:
        """Return what the engine says of itself."""
        return EngineInfo.parse(await self._client.call("GET", "/info"))


def _path(container: str, verb: str) -> str:
    return f"/containers/{container}/{verb}"


def _items(mapping: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    return list((mapping or {}).items())
