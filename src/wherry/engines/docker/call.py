"""One container from its creation to its removal, in the order the engine's races demand.

Create, put the files in, attach, wait for the next exit, and only then start: attached later,
the first output is lost or comes from a log; waited for later, a fast container has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from wherry.engines.docker.archive import pack
from wherry.engines.docker.complaint import start_error
from wherry.engines.docker.container import DockerContainer
from wherry.engines.docker.failures import Refused
from wherry.engines.docker.layout import Layout, files_of
from wherry.engines.docker.options import create_body
from wherry.engines.docker.owner import container_name
from wherry.errors import EngineError, ImageNotFound, Unsupported, UsageError

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Response
    from wherry.engines.docker.duplex import Duplex
    from wherry.engines.docker.options import Profile
    from wherry.engines.docker.ready import Preparation
    from wherry.models import File, Invocation

_OUTPUT = {"stream": True, "stdout": True, "stderr": True}
_INPUT = {"stream": True, "stdin": True}
_REMOVE_SECONDS = 60.0
_log = logging.getLogger(__name__)


class Call:
    """The container of one invocation; :meth:`remove` it whatever happens."""

    def __init__(
        self,
        client: DockerClient,
        invocation: Invocation,
        *,
        profile: Profile,
        has_stdin: bool,
        preparation: Preparation | None = None,
    ) -> None:
        """Raise UsageError or Unsupported for what the function cannot have."""
        self.container: DockerContainer | None = None
        """What :meth:`attach` made."""
        self.invocation = invocation
        self.name = container_name(invocation.id)
        """By which it is found and removed, even when the answer to its creation was lost."""
        self._id: str | None = None
        self._client = client
        self._body = create_body(invocation, profile=profile, has_stdin=has_stdin)
        self._files = files_of(invocation.function)
        if preparation is not None:
            self._body |= preparation.changes
            self._files += preparation.files
        self._layout = Layout.of(invocation.function)
        self._creating: asyncio.Task[None] | None = None

    async def create(self) -> None:
        """Create the container and put its files in; raises ImageNotFound without its image."""
        self._creating = asyncio.create_task(self._create())
        await asyncio.shield(self._creating)
        files: dict[str, list[File]] = {}
        for file in self._files:
            files.setdefault(self._layout.base(file.target), []).append(file)
        for base, inside in files.items():
            await self._put(base, inside)

    async def attach(self) -> DockerContainer:
        """Attach and wait for its end; :meth:`DockerContainer.close` what is returned.

        Input has a connection of its own. When a program ends without having read everything,
        the engine closes that connection with bytes unread, which is a reset: it would take
        output that is still on its way along.
        """
        async with AsyncExitStack() as opened:
            output, carried = await self._hijack(_OUTPUT, opened)
            stdin = (await self._hijack(_INPUT, opened))[0] if self._body["OpenStdin"] else None
            waiting = await self._wait()
            opened.pop_all()
            self.container = DockerContainer(
                self.invocation.id,
                self._client,
                name=self.name,
                output=(output, carried),
                stdin=stdin,
                waiting=waiting,
            )
            return self.container

    async def start(self) -> None:
        """Start the program."""
        try:
            await self._client.call("POST", f"/containers/{self._id}/start")
        except Refused as error:
            if failure := start_error(error.reason):
                raise failure from error
            raise

    async def rename(self, invocation_id: str) -> None:
        """Let a container that was ready be found by the id of the call it serves."""
        assert self.container
        name = container_name(invocation_id)
        path = f"/containers/{self._id}/rename"
        await self._client.call("POST", path, query={"name": name})
        self.name = self.container.name = name

    async def remove(self) -> None:
        """Kill and remove the container, in bounded time; what fails is logged, for the reaper."""
        if self._creating is None:
            return
        try:
            async with asyncio.timeout(_REMOVE_SECONDS):
                if await self._may_exist():
                    await self._remove()
        except (EngineError, TimeoutError) as error:
            _log.warning(
                "a container could not be removed",
                extra={"container": self.name, "reason": str(error) or "no answer in time"},
            )

    async def _create(self) -> None:
        query = {"name": self.name, "platform": self.invocation.function.platform}
        try:
            made = await self._client.call(
                "POST", "/containers/create", query=query, data=self._body
            )
        except Refused as error:
            raise self._create_error(error) from error
        self._id = made["Id"]

    def _create_error(self, error: Refused) -> Exception:
        image = self.invocation.function.image
        if error.status == 404 and "image" in error.reason.lower():
            return ImageNotFound(
                f"engine {self._client.address} has no image {image!r}: {error.reason}"
            )
        if "storage-opt" in error.reason:
            return Unsupported(
                f"limits.tmp: this engine's storage cannot bound what is written ({error.reason}); "
                "with read_only=True it can be kept"
            )
        if error.status == 400:
            function = self.invocation.function.name
            return UsageError(f"function {function!r} is not what the engine takes: {error.reason}")
        return error

    async def _put(self, base: str, files: list[File]) -> None:
        scratch = base in ("/tmp", "/run")  # noqa: S108 - inside the container
        request = await self._client.request(
            "PUT",
            f"/containers/{self.name}/archive",
            query={"path": base},
            body=pack(files, base=base, open_base=scratch),
            headers={"Content-Type": "application/x-tar"},
        )
        async with self._client.open(request) as response:
            await response.read()

    async def _hijack(
        self, streams: Mapping[str, bool], opened: AsyncExitStack
    ) -> tuple[Duplex, bytes]:
        path = f"/containers/{self.name}/attach"
        request = await self._client.request("POST", path, query=streams, upgrade=True)
        duplex, carried = await self._client.hijack(request)
        opened.push_async_callback(_close, duplex)
        return duplex, carried

    async def _wait(self) -> Response:
        path = f"/containers/{self.name}/wait"
        request = await self._client.request("POST", path, query={"condition": "next-exit"})
        return await self._client.send(request)

    async def _may_exist(self) -> bool:
        """Wait for a creation under way: removed before it is done, the container would stay."""
        assert self._creating
        await asyncio.wait([self._creating])
        error = None if self._creating.cancelled() else self._creating.exception()
        return error is None or (isinstance(error, EngineError) and not isinstance(error, Refused))

    async def _remove(self) -> None:
        path, query = f"/containers/{self._id or self.name}", {"force": True, "v": True}
        try:
            await self._client.call("DELETE", path, query=query)
        except Refused as error:
            if error.status == 409:  # somebody else removes it: wait until it is gone
                await self._gone(path)
            elif error.status != 404:
                raise

    async def _gone(self, path: str) -> None:
        try:
            await self._client.call("POST", f"{path}/wait", query={"condition": "removed"})
        except Refused as error:
            if error.status != 404:
                raise


async def _close(duplex: Duplex) -> None:
    duplex.close()
    await duplex.wait_closed()
