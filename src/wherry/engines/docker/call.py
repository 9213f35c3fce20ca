"""One container from its creation to its removal, in the order the engine's races demand.

Create, put the files in, attach, wait for the next exit, and only then start: attached later,
the first output is lost or comes from a log; waited for later, a fast container has ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from wherry.engines.docker.archive import pack
from wherry.engines.docker.complaint import start_error
from wherry.engines.docker.container import DockerContainer
from wherry.engines.docker.failures import Refused
from wherry.engines.docker.layout import Layout, files_of
from wherry.engines.docker.options import create_body
from wherry.engines.docker.owner import container_name
from wherry.engines.docker.ready import argv_of
from wherry.engines.docker.watch import EngineImage
from wherry.errors import EngineError, ImageNotFound, Unsupported, UsageError

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Response
    from wherry.engines.docker.deaths import Watch
    from wherry.engines.docker.duplex import Duplex
    from wherry.engines.docker.errands import Errands
    from wherry.engines.docker.options import Profile
    from wherry.engines.docker.ready import Preparation
    from wherry.models import File, Invocation

Hijacked = tuple["Duplex", bytes]
_CONNECTIONS = 3
"""Wanted at once when a container was made: two to attach, and one to wait."""
_OUTPUT = {"stream": True, "stdout": True, "stderr": True}
_INPUT = {"stream": True, "stdin": True}
_REMOVE_SECONDS = 60.0
_SHORT_SECONDS = 0.02
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
        self._naming: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._client = client
        self._body = create_body(invocation, profile=profile, has_stdin=has_stdin)
        self._files = files_of(invocation.function)
        self._is_gated = preparation is not None and bool(preparation.files)
        if preparation is not None:
            self._body = preparation.apply(self._body)
            self._files += preparation.files
        self._layout = Layout.of(invocation.function)
        self._creating: asyncio.Task[None] | None = None

    async def create(self) -> None:
        """Create the container and put its files in; raises ImageNotFound without its image."""
        self._creating = asyncio.create_task(self._create())
        await self._client.warm(_CONNECTIONS)
        await asyncio.shield(self._creating)
        files: dict[str, list[File]] = {}
        for file in self._files:
            files.setdefault(self._layout.base(file.target), []).append(file)
        for base, inside in files.items():
            await self._put(base, inside)

    async def attach(self, watch: Watch | None = None) -> DockerContainer:
        """Attach and wait for its end; :meth:`DockerContainer.close` what is returned.

        ``watch``, which must be older than the attachment, can tell the end earlier.

        Input has a connection of its own. When a program ends without having read everything,
        the engine closes that connection with bytes unread, which is a reset: it would take
        output that is still on its way along.
        """
        wanted = [_OUTPUT, _INPUT] if self._body["OpenStdin"] else [_OUTPUT]
        hijacks = [asyncio.create_task(self._hijack(streams)) for streams in wanted]
        waiting = asyncio.create_task(self._wait())
        try:
            streams = await asyncio.gather(*hijacks)
            told = await waiting
        except BaseException:
            await self._abandon(hijacks, waiting)
            raise
        self.container = DockerContainer(
            self.invocation.id,
            self._client,
            name=self.name,
            path=self.path,
            output=streams[0],
            stdin=streams[1][0] if len(streams) > 1 else None,
            waiting=told,
            death=None if watch is None else watch.expect(self._id or ""),
        )
        return self.container

    async def _abandon(
        self, hijacks: list[asyncio.Task[Hijacked]], waiting: asyncio.Task[Response]
    ) -> None:
        """Drop what was opened, and what is just being opened."""
        for task in (*hijacks, waiting):
            task.cancel()
        await asyncio.wait([*hijacks, waiting])
        for hijack in hijacks:
            if not hijack.cancelled() and hijack.exception() is None:
                await _close(hijack.result()[0])
        if not waiting.cancelled() and waiting.exception() is None:
            self._client.release(waiting.result().connection)

    async def start(self) -> None:
        """Start the program."""
        assert self.container
        try:
            await self._client.call("POST", f"{self.path}/start")
        except Refused as error:
            if failure := start_error(error.reason):
                raise failure from error
            raise
        self.container.begun()

    @property
    def path(self) -> str:
        """Where the engine knows it, whatever it is named."""
        return f"/containers/{self._id or self.name}"

    def rename(self, invocation_id: str, *, errands: Errands) -> None:
        """Let a container that was ready be found by the id of its call, unless that is over soon.

        A name costs the engine twice what a short call does.
        """
        self._naming = errands.begin(self._rename(container_name(invocation_id)))

    async def _rename(self, name: str) -> None:
        try:
            async with asyncio.timeout(_SHORT_SECONDS):
                await self._over.wait()
                return
        except TimeoutError:
            pass
        try:
            await self._client.call("POST", f"{self.path}/rename", query={"name": name})
        except EngineError as error:
            extra = {"container": self.name, "reason": str(error)}
            _log.warning("a container could not be named after its call", extra=extra)
        else:
            assert self.container
            self.name = self.container.name = name

    async def ended(self) -> None:
        """Wait until the engine knows that the container has ended."""
        await self._gone("not-running")

    async def remove(self, *, ending: bool = False) -> None:
        """Kill and remove the container, in bounded time; what fails is logged, for the reaper.

        With ``ending`` it is about to end by itself, which is waited for.
        """
        if self._creating is None:
            return
        try:
            async with asyncio.timeout(_REMOVE_SECONDS):
                self._over.set()
                if self._naming is not None:
                    await asyncio.wait([self._naming])
                if ending:
                    with suppress(EngineError):  # removing it by force does as well
                        await self.ended()
                if await self._may_exist():
                    await self._remove()
        except (EngineError, TimeoutError) as error:
            _log.warning(
                "a container could not be removed",
                extra={"container": self.name, "reason": str(error) or "no answer in time"},
            )

    async def _create(self) -> None:
        await self._surround()
        query = {"name": self.name, "platform": self.invocation.function.platform}
        try:
            made = await self._client.call(
                "POST", "/containers/create", query=query, data=self._body
            )
        except Refused as error:
            raise self._create_error(error) from error
        self._id = made["Id"]

    async def _surround(self) -> None:
        """Put the function's ``around`` before the words that the engine would run."""
        function = self.invocation.function
        if not function.around or self._is_gated:
            return
        try:
            found = await self._client.call("GET", f"/images/{function.image}/json")
        except Refused as error:
            raise self._create_error(error) from error
        words = argv_of(self.invocation, image=EngineImage.parse(found))
        self._body |= {"Entrypoint": words, "Cmd": None}

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
            f"{self.path}/archive",
            query={"path": base},
            body=pack(files, base=base, open_base=scratch),
            headers={"Content-Type": "application/x-tar"},
        )
        async with self._client.open(request) as response:
            await response.read()

    async def _hijack(self, streams: Mapping[str, bool]) -> Hijacked:
        path = f"{self.path}/attach"
        request = await self._client.request("POST", path, query=streams, upgrade=True)
        return await self._client.hijack(request)

    async def _wait(self) -> Response:
        path = f"{self.path}/wait"
        request = await self._client.request("POST", path, query={"condition": "next-exit"})
        return await self._client.send(request)

    async def _may_exist(self) -> bool:
        """Wait for a creation under way: removed before it is done, the container would stay."""
        assert self._creating
        await asyncio.wait([self._creating])
        error = None if self._creating.cancelled() else self._creating.exception()
        return error is None or (isinstance(error, EngineError) and not isinstance(error, Refused))

    async def _remove(self) -> None:
        try:
            await self._client.call("DELETE", self.path, query={"force": True, "v": True})
        except Refused as error:
            if error.status == 409:  # somebody else removes it: wait until it is gone
                await self._gone("removed")
            elif error.status != 404:
                raise

    async def _gone(self, condition: str) -> None:
        try:
            await self._client.call("POST", f"{self.path}/wait", query={"condition": condition})
        except Refused as error:
            if error.status != 404:
                raise


async def _close(duplex: Duplex) -> None:
    duplex.close()
    await duplex.wait_closed()
