"""Between a request and the engine: policy, ownership, quota, and the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wherry.errors import Conflict
from wherry.remote.audit import Deed
from wherry.remote.faults import Fault, Forbidden
from wherry.remote.model import NO_TEXT
from wherry.remote.ownership import OWNER, details_of, owned, seen_by
from wherry.remote.policed import policed

if TYPE_CHECKING:
    from wherry.models import Output
    from wherry.remote.audit import Audit, Verdict
    from wherry.remote.model import (
        Caller,
        Containers,
        ExecRequest,
        LogsRequest,
        PullRequest,
        Row,
        Running,
        RunRequest,
    )
    from wherry.remote.policy import Policy
    from wherry.remote.policy_file import Policies


class Guarded:
    """Implements :class:`wherry.remote.model.Containers` around another one."""

    def __init__(self, containers: Containers, *, policies: Policies, audit: Audit) -> None:
        self._containers = containers
        self._policies = policies
        self._audit = audit
        self._starting: dict[str, set[str]] = {}
        """By token, the names of containers that are being made."""

    async def list(self, caller: Caller, *, labels: Mapping[str, str] = NO_TEXT) -> Sequence[Row]:
        """Return the containers that the caller may see."""
        with self.noting(caller, "list"):
            return await self._containers.list(caller, labels={**labels, **seen_by(caller)})

    @asynccontextmanager
    async def logs(
        self, caller: Caller, request: LogsRequest
    ) -> AsyncIterator[AsyncIterator[Output]]:
        """Read what a container of the caller's has written."""
        async with AsyncExitStack() as entering:
            note = entering.enter_context(self.noting(caller, "logs", container=request.container))
            note.container = await owned(self._containers, caller, name=request.container)
            request = replace(request, container=note.container)
            async with self._containers.logs(caller, request) as outputs:
                await entering.aclose()
                yield outputs

    @asynccontextmanager
    async def run(self, caller: Caller, request: RunRequest) -> AsyncIterator[Running]:
        """Run what the caller's policy allows."""
        async with AsyncExitStack() as entering:
            note = entering.enter_context(
                self.noting(caller, "run", container=request.name, image=request.image)
            )
            request = self._policed(caller, request)
            await entering.enter_async_context(self.place(caller, request.name))
            async with AsyncExitStack() as running:
                with _discreet(caller, request.name):
                    begun = self._containers.run(caller, request)
                    found = await running.enter_async_context(begun)
                note.container = found.id
                await entering.aclose()
                yield found

    async def detach(self, caller: Caller, request: RunRequest) -> str:
        """Run what the caller's policy allows, and let it go on."""
        with self.noting(caller, "run", container=request.name, image=request.image) as note:
            request = self._policed(caller, request)
            async with self.place(caller, request.name):
                with _discreet(caller, request.name):
                    note.container = await self._containers.detach(caller, request)
            return note.container

    @asynccontextmanager
    async def exec(self, caller: Caller, request: ExecRequest) -> AsyncIterator[Running]:
        """Start a program in a running container of the caller's."""
        async with AsyncExitStack() as entering:
            note = entering.enter_context(self.noting(caller, "exec", container=request.container))
            note.container = await owned(self._containers, caller, name=request.container)
            request = replace(request, container=note.container)
            async with self._containers.exec(caller, request) as running:
                await entering.aclose()
                yield running

    async def remove(self, caller: Caller, container: str) -> None:
        """Kill and remove a container of the caller's."""
        with self.noting(caller, "remove", container=container) as note:
            note.container = await owned(self._containers, caller, name=container)
            await self._containers.remove(caller, note.container)

    async def pull(self, caller: Caller, request: PullRequest) -> None:
        """Fetch an image that the caller's policy allows."""
        with self.noting(caller, "pull", image=request.image):
            image = self.policy(caller).image(request.image)
            await self._containers.pull(caller, replace(request, image=image))

    async def inspect(self, caller: Caller, container: str) -> Mapping[str, Any]:
        """Return what the engine knows of a container of the caller's."""
        with self.noting(caller, "inspect", container=container) as note:
            details = await details_of(self._containers, caller, name=container)
            note.container = str(details["Id"])
            return details

    def policy(self, caller: Caller) -> Policy:
        """Return what holds for a caller."""
        return self._policies.of(caller.policy or caller.name)

    @contextmanager
    def noting(
        self, caller: Caller, verb: str, *, container: str | None = None, image: str | None = None
    ) -> Iterator[Note]:
        """Write one line when the block ends, which is when it is known what became of it."""
        note = Note(container=container)
        verdict: Verdict = "allowed"
        reason = None
        try:
            yield note
        except Forbidden as error:
            verdict, reason = "denied", str(error).partition(":")[0]
            raise
        except BaseException as error:
            verdict, reason = "failed", type(error).__name__
            raise
        finally:
            self._audit.note(
                Deed(
                    token=caller.name,
                    address=caller.address or "",
                    verb=verb,
                    verdict=verdict,
                    container=note.container,
                    image=image,
                    reason=reason,
                )
            )

    @asynccontextmanager
    async def place(
        self, caller: Caller, name: str, *, settled: Callable[[], Awaitable[None]] | None = None
    ) -> AsyncIterator[None]:
        """Hold a place for one more container; raises Fault when the caller has as many as may.

        ``name`` is the container's: it is counted once, as one being made or as one there is.
        Before somebody is refused, ``settled`` lets the removals end that are under way.
        """
        most = self.policy(caller).limits.containers
        if most is None:
            yield
            return
        starting = self._starting.setdefault(caller.name, set())
        starting.add(name)
        try:
            count = await self._count(caller, starting)
            if count > most and settled is not None:
                await settled()
                count = await self._count(caller, starting)
            if count > most:
                raise Fault(
                    f"containers: this token may have {most} at one time; remove one first",
                    status=429,
                    headers={"Retry-After": "5"},
                )
            yield
        finally:
            starting.discard(name)
            if not starting:
                self._starting.pop(caller.name, None)

    async def _count(self, caller: Caller, starting: set[str]) -> int:
        rows = await self._containers.list(caller, labels={OWNER: caller.name})
        return len(starting | {row.name for row in rows})

    def _policed(self, caller: Caller, request: RunRequest) -> RunRequest:
        return policed(request, caller, policy=self.policy(caller))


@contextmanager
def _discreet(caller: Caller, name: str) -> Iterator[None]:
    """Say that a name is taken, and not by which container: it may be somebody else's."""
    try:
        yield
    except Conflict as error:
        if caller.is_admin:
            raise
        raise Conflict(f"name: {name!r} cannot be had; another one can") from error


@dataclass(slots=True)
class Note:
    """What is known of a deed while it is done."""

    container: str | None = None
