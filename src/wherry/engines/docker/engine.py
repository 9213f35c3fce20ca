"""The Docker engine: a fresh container per call, on any Engine API from Docker 20.10 on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from wherry.engines.closing import finish
from wherry.engines.docker import reaper
from wherry.engines.docker.address import parse_spec
from wherry.engines.docker.archive import unpack
from wherry.engines.docker.call import Call
from wherry.engines.docker.client import DockerClient
from wherry.engines.docker.context import address_from_environment
from wherry.engines.docker.deaths import Deaths
from wherry.engines.docker.errands import Errands
from wherry.engines.docker.failures import Refused, failing
from wherry.engines.docker.images import PullProgress, pull
from wherry.engines.docker.management import Management
from wherry.engines.docker.measuring import measure
from wherry.engines.docker.options import Profile, check
from wherry.engines.docker.ready import DockerSlot, Preparation, tell, waiting_invocation
from wherry.engines.docker.services import Services
from wherry.engines.docker.watch import ImageWatch
from wherry.engines.sources import sources_of
from wherry.errors import EngineError, EngineUnavailable, ImageNotFound
from wherry.images.credentials import StoredCredentials, default_files
from wherry.images.flights import Flights
from wherry.streams import NOTHING

if TYPE_CHECKING:
    from wherry.engines.base import Stdin, Usage
    from wherry.engines.docker.address import Address
    from wherry.engines.docker.container import DockerContainer
    from wherry.engines.docker.deaths import Watch
    from wherry.engines.docker.ready import Begin
    from wherry.images.credentials import CredentialSource
    from wherry.models import Function, Invocation

VARIABLES = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "HOME",
    "XDG_CONFIG_HOME",
)
_log = logging.getLogger(__name__)
_STARTS_AT_ONCE = 16
_PULLS = Flights[None]()
_CREATES = 3


class DockerEngine:
    """Implements :class:`wherry.engines.base.Engine` on a Docker engine, near or far."""

    def __init__(
        self,
        address: Address,
        *,
        profile: Profile | None = None,
        credentials: CredentialSource | None = None,
        progress: Callable[[str, PullProgress], None] | None = None,
        timeout: float = 60.0,
    ) -> None:
        """``timeout`` in seconds bounds every exchange but the call itself.

        ``progress`` is told how far the pull of an image is, by its name.
        """
        self.client = DockerClient(address, timeout=timeout)
        self.management = Management(self.client)
        self._images = ImageWatch(self.client)
        self.profile = profile or Profile()
        self._credentials = credentials or StoredCredentials(())
        self.services = Services(self.client, credentials=self._credentials)
        self._progress = progress
        self._errands = Errands()
        self._deaths = Deaths(self.client)
        self._running: dict[DockerContainer, Call] = {}
        self._swept = False
        # An engine starts a few containers in a second, however many are asked for. Waiting here
        # rather than there keeps its answers within the time limit.
        self._starts = asyncio.Semaphore(_STARTS_AT_ONCE)
        self._closed = False

    @classmethod
    def connect(cls, spec: str, *, environment: Mapping[str, str] | None = None) -> Self:
        """Make the engine an address names; nothing is connected yet.

        ``docker:`` is the one the docker command would use. Raises UsageError.
        """
        from wherry import config

        if environment is None:
            environment = config.inherited(*VARIABLES)
        address = parse_spec(spec) or address_from_environment(environment)
        return cls(
            address, credentials=StoredCredentials(default_files(config.settings(environment)))
        )

    async def prepare(self, function: Function) -> None:
        """Check the function, and pull its image when its policy says so."""
        self._check_open()
        check(function)
        if function.pull == "always" or not await self._has_image(function.image):
            await self._pull(function)

    @asynccontextmanager
    async def start(self, invocation: Invocation, stdin: Stdin) -> AsyncIterator[DockerContainer]:
        """Start a fresh container; see :class:`wherry.engines.base.Engine`."""
        self._check_open()
        self._sweep_once()
        has_stdin = stdin is not NOTHING
        call = Call(self.client, invocation, profile=self.profile, has_stdin=has_stdin)
        async with self.starting(call, stdin) as container:
            yield container

    @asynccontextmanager
    async def starting(self, call: Call, stdin: Stdin) -> AsyncIterator[DockerContainer]:
        """Start the container of a call that is made; as :meth:`start`."""
        async with self._serving(call, lambda: self._begin(call, stdin)) as container:
            yield container

    async def creating(self, call: Call) -> None:
        """Create the container of a call, pulling its image if it has to be; not more."""
        self._check_open()
        try:
            await self._create(call)
        except BaseException:
            await finish(call.remove())
            raise

    @asynccontextmanager
    async def reserve(self, function: Function) -> AsyncIterator[DockerSlot]:
        """Make a container ready; see :class:`wherry.engines.base.ReadyEngine`."""
        await self.prepare(function)
        self._sweep_once()
        preparation = await Preparation.of(function, client=self.client)
        own = waiting_invocation(function)
        call = Call(self.client, own, profile=self.profile, has_stdin=True, preparation=preparation)
        async with self._images.watching(function.image) as image:
            slot: DockerSlot | None = None
            sources = sources_of(function)  # before they are read: at worst they are newer
            try:
                async with self._starts:
                    await self._create(call)
                    container = await self._attach(call)
                    if preparation.waiting != "created":
                        await call.start()
                    if preparation.waiting == "started" and preparation.files:
                        await tell(container, own, image=image, has_stdin=True)
                slot = DockerSlot(
                    function,
                    call,
                    image=image,
                    sources=sources,
                    waiting=preparation.waiting,
                    serve=lambda begin: self._serving(call, begin),
                    errands=self._errands,
                    is_current=lambda: self._images.id(function.image) == image.id,
                )
                yield slot
            finally:
                if slot is None or not slot.taken:
                    await finish(self._end(call))

    async def reap(self) -> list[str]:
        """Remove the containers of callers on this host that have ended; returns their names."""
        return await reaper.reap(self.client)

    def _sweep_once(self) -> None:
        """Reap beside the first call, as every next start does: it keeps nobody waiting."""
        if not self._swept:
            self._swept = True
            self._errands.begin(self._sweep())

    async def _sweep(self) -> None:
        try:
            await self.reap()
        except EngineError as error:
            _log.warning("what was left before was not removed", extra={"reason": str(error)})

    async def usage(self, function: str) -> list[Usage]:
        """See :class:`wherry.engines.base.UsageEngine`."""
        return await measure(
            self.client,
            [
                (container.id, call.path)
                for container, call in self._running.items()
                if call.invocation.function.name == function
            ],
        )

    async def settled(self) -> None:
        """Wait until the containers of calls that have ended are removed, and others are named.

        A call that ended by itself is not kept waiting for that: nothing runs any more.
        """
        await self._errands.finish()

    async def aclose(self) -> None:
        """Kill what still runs, wait for the removals, and drop the connections. Idempotent."""
        self._closed = True
        try:
            await asyncio.gather(*(container.kill() for container in tuple(self._running)))
        finally:
            try:
                await self._errands.finish()
            finally:
                await self._deaths.aclose()
                await self.client.aclose()

    @asynccontextmanager
    async def _serving(self, call: Call, begin: Begin) -> AsyncIterator[DockerContainer]:
        """Serve one call: what has begun ends with the block."""
        try:
            container = await begin()
            yield container
        except BaseException:
            await finish(self._end(call))
            raise
        await finish(self._end(call))
        if error := container.take_source_error():
            raise error

    async def _begin(self, call: Call, stdin: Stdin) -> DockerContainer:
        async with self._starts:
            container = await self._create_watched(call)
            container.feed(stdin)
            await call.start()
        return container

    async def _create_watched(self, call: Call) -> DockerContainer:
        watching = asyncio.create_task(self._deaths.watch())
        try:
            await self._create(call)
        except BaseException:
            watching.cancel()
            await asyncio.wait([watching])
            raise
        try:
            watch = await watching
        except EngineError:
            watch = None  # then it is the answer to its wait that tells the end
        return await self._attach(call, watch)

    async def _attach(self, call: Call, watch: Watch | None = None) -> DockerContainer:
        container = await call.attach(watch)
        self._running[container] = call
        return container

    async def _create(self, call: Call) -> None:
        """Create; an image removed between its pull and the create is pulled again."""
        function = call.invocation.function
        if function.pull == "always":
            await self._pull(function)
        for attempt in range(_CREATES):
            try:
                await call.create()
            except ImageNotFound:
                if function.pull == "never" or attempt == _CREATES - 1:
                    raise
                await self._pull(function)
            else:
                return

    async def _has_image(self, image: str) -> bool:
        try:
            await self.client.call("GET", f"/images/{image}/json")
        except Refused as error:
            if error.status != 404:
                raise
            return False
        return True

    async def _pull(self, function: Function) -> None:
        if function.pull == "never":
            raise ImageNotFound(
                f"engine {self.client.address} has no image {function.image!r}, and pull is 'never'"
            )
        key = (id(self), function.image, function.platform)
        await _PULLS.join(key, lambda: self._pull_now(function))

    async def _pull_now(self, function: Function) -> None:
        steps = pull(
            self.client,
            function.image,
            credentials=self._credentials,
            platform=function.platform,
        )
        async for step in steps:
            if self._progress is not None:
                self._progress(function.image, step)

    async def _end(self, call: Call) -> None:
        container = call.container
        try:
            if container is not None:
                self._running.pop(container, None)
                await container.close()
                if container.finished:
                    await self._collect(call, is_ending=container.has_ended_early)
        finally:
            if container is None or not container.finished:
                await call.remove()
            else:
                await self._forget(call, is_ending=container.has_ended_early)

    async def _forget(self, call: Call, *, is_ending: bool) -> None:
        """Remove what has ended by itself, without letting the caller wait for it."""
        removal = call.remove(ending=is_ending)
        if self._closed:
            await removal
        else:
            self._errands.begin(removal)
            await self._errands.room()

    async def _collect(self, call: Call, *, is_ending: bool) -> None:
        if is_ending and call.invocation.function.collect:
            await call.ended()
        for collect in call.invocation.function.collect:
            path = f"{call.path}/archive"
            request = await self.client.request("GET", path, query={"path": collect.path})
            try:
                async with self.client.open(request) as response:
                    with failing(f"collecting {collect.path!r}", address=self.client.address):
                        await unpack(response.stream(), collect)
            except Refused as error:
                if error.status != 404:  # what the program did not make is no error
                    raise

    def _check_open(self) -> None:
        if self._closed:
            raise EngineUnavailable(f"engine {self.client.address} is closed")
