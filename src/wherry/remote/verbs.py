"""The containers of one Docker engine; see :class:`wherry.remote.model.Containers`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused, failing
from wherry.engines.docker.frames import Frames
from wherry.engines.docker.management import Management
from wherry.errors import EngineError, WherryError
from wherry.images.credentials import FixedCredentials, StoredCredentials
from wherry.images.reference import Reference
from wherry.models import Output
from wherry.remote.attached import attached, finished, started
from wherry.remote.creating import create_body
from wherry.remote.listing import listed
from wherry.remote.model import NO_TEXT, PullRequest, Running
from wherry.remote.refusals import Failed, lacks_image, translated
from wherry.streams import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.engines.docker.client import DockerClient
    from wherry.images.credentials import CredentialSource
    from wherry.remote.model import Caller, ExecRequest, LogsRequest, Row, RunRequest

_CTRL_D = b"\x04"
_NO_CREDENTIALS = StoredCredentials(())


class Verbs:
    """Implements :class:`wherry.remote.model.Containers`, for everybody alike.

    No shell and no docker command: requests of the Engine API, whose arguments are lists.
    """

    def __init__(
        self,
        client: DockerClient,
        *,
        pull_timeout: float = 1800.0,
        credentials: CredentialSource = _NO_CREDENTIALS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``credentials`` are the server's own, for administrators who bring none."""
        self._client = client
        self._management = Management(client)
        self._pull_timeout = pull_timeout
        self._credentials = credentials
        self._clock = clock

    async def list(self, caller: Caller, *, labels: Mapping[str, str] = NO_TEXT) -> Sequence[Row]:
        """Return every container that has these labels, stopped ones too, the newest first."""
        del caller
        with translated():
            return await listed(self._client, labels=labels, now=self._clock())

    @asynccontextmanager
    async def logs(
        self, caller: Caller, request: LogsRequest
    ) -> AsyncIterator[AsyncIterator[Output]]:
        """Read what a container has written."""
        del caller
        client = self._client
        with translated():
            details = await self._management.inspect(request.container)
            query = {
                "stdout": True,
                "stderr": not details.tty,
                "follow": request.follow,
                "tail": "all" if request.tail is None else request.tail,
            }
            asked = await client.request("GET", f"/containers/{details.id}/logs", query=query)
            response = await client.send(asked)
        try:
            chunks = response.stream()
            yield _plain(chunks) if details.tty else _framed(chunks, address=client.address)
        finally:
            client.release(response.connection)

    @asynccontextmanager
    async def run(self, caller: Caller, request: RunRequest) -> AsyncIterator[Running]:
        """Run a container, attached; leaving the block before its Exit kills it."""
        async with AsyncExitStack() as stack:
            with translated():
                id_ = await self._created(caller, request)
                begun = attached(self._client, id_, removes_itself=request.remove)
                try:
                    running = await stack.enter_async_context(begun)
                except BaseException as error:
                    if request.remove or not isinstance(error, WherryError):
                        await self._discard(id_)
                    raise
            yield Running(id_, aiter(running))

    async def detach(self, caller: Caller, request: RunRequest) -> str:
        """Run a container that goes on by itself, and return its id."""
        with translated():
            id_ = await self._created(caller, request)
            try:
                await finished(started(self._client, f"/containers/{id_}"))
            except WherryError:
                if request.remove:
                    await self._discard(id_)
                raise
        return id_

    @asynccontextmanager
    async def exec(self, caller: Caller, request: ExecRequest) -> AsyncIterator[Running]:
        """Run one more program in a running container."""
        del caller
        begun = self._management.exec(
            request.container,
            request.command,
            stdin=_stdin_of(request),
            env=request.env,
            user=request.user,
            workdir=request.workdir,
            tty=request.tty,
        )
        async with AsyncExitStack() as stack:
            with translated():
                execution = await stack.enter_async_context(begun)
            yield Running(request.container, aiter(execution))

    async def remove(self, caller: Caller, container: str) -> None:
        """Kill and remove a container; its volumes stay, as with ``docker rm -f``."""
        del caller
        with translated():
            query = {"force": True}
            path = f"/containers/{container}"
            await finished(self._client.call("DELETE", path, query=query))

    async def pull(self, caller: Caller, request: PullRequest) -> None:
        """Fetch an image."""
        source: CredentialSource = self._credentials if caller.is_admin else _NO_CREDENTIALS
        if request.credentials is not None:
            registry = Reference.parse(request.image).registry
            source = FixedCredentials(registry, request.credentials)
        steps = self._management.pull(request.image, platform=request.platform, credentials=source)
        try:
            async with asyncio.timeout(self._pull_timeout):
                async for _ in steps:
                    pass
        except TimeoutError as error:
            raise Failed(f"the image was not pulled within {self._pull_timeout:g} s") from error

    async def inspect(self, caller: Caller, container: str) -> Mapping[str, Any]:
        """Return what the engine knows of a container."""
        del caller
        with translated():
            found: Mapping[str, Any] = await self._client.call(
                "GET", f"/containers/{container}/json"
            )
        return found

    async def _created(self, caller: Caller, request: RunRequest) -> str:
        """Create a container, after its image was pulled where it is missing."""
        try:
            return await self._create(request)
        except Refused as error:
            if not lacks_image(error):
                raise
        await self.pull(caller, PullRequest(image=request.image, credentials=request.credentials))
        return await self._create(request)

    async def _create(self, request: RunRequest) -> str:
        """Create a container; one whose client has left meanwhile is removed."""
        made = asyncio.ensure_future(
            self._client.call(
                "POST",
                "/containers/create",
                query={"name": request.name},
                data=create_body(request),
            )
        )
        try:
            return str((await asyncio.shield(made))["Id"])
        except asyncio.CancelledError:
            await asyncio.wait([made])
            if not made.cancelled() and made.exception() is None:
                await self._discard(made.result()["Id"])
            raise

    async def _discard(self, id_: str) -> None:
        with suppress(EngineError):  # it is gone already, or the engine's owner finds it
            query = {"force": True, "v": True}
            await finished(self._client.call("DELETE", f"/containers/{id_}", query=query))


def _stdin_of(request: ExecRequest) -> AsyncIterable[bytes]:
    if request.stdin is None:
        return NOTHING
    return _typed(request.stdin) if request.tty else request.stdin


async def _typed(source: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield what is typed at a terminal, whose end is a Ctrl-D, until the program has ended."""
    async for chunk in source:
        yield chunk
    yield _CTRL_D
    await asyncio.Event().wait()


async def _plain(chunks: AsyncIterator[bytes]) -> AsyncIterator[Output]:
    async for chunk in chunks:
        yield Output("stdout", chunk)


async def _framed(chunks: AsyncIterator[bytes], *, address: object) -> AsyncIterator[Output]:
    frames = Frames()
    with failing("reading logs", address=address):
        async for chunk in chunks:
            for output in frames.feed(chunk):
                yield output
    frames.finish()
