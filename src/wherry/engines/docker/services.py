"""Services of a Swarm: looked at by label, and run once to the end of their tasks.

https://docs.docker.com/reference/api/engine/ (Services, Tasks); the engine is a manager.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from wherry.engines.docker.failures import Refused, failing
from wherry.engines.docker.frames import Frames
from wherry.engines.docker.images import registry_auth
from wherry.engines.docker.values import ServiceSummary
from wherry.errors import Conflict, EngineError, StartError, Unsupported
from wherry.images.reference import Reference
from wherry.models import Output, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event
    from wherry.engines.docker.client import DockerClient
    from wherry.images.credentials import CredentialSource

_OVER = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})
_FIRST, _SLOWEST = 0.1, 2.0
"""Seconds between two looks at tasks: an engine tells nobody when one has ended."""
_OUT_OF_SEQUENCE = "update out of sequence"
_TRIES = 5
_ALL_AT_ONCE = {"Parallelism": 0, "FailureAction": "continue"}


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOff:
    """A service that runs once and is removed."""

    name: str
    image: str
    args: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    user: str | None = None
    networks: Sequence[str] = ()

    def spec(self) -> dict[str, Any]:
        """Return it as the engine takes it."""
        container: dict[str, Any] = {"Image": self.image, "Args": [*self.args]}
        if self.env:
            container["Env"] = [f"{name}={value}" for name, value in self.env.items()]
        if self.user:
            container["User"] = self.user
        return {
            "Name": self.name,
            "TaskTemplate": {
                "ContainerSpec": container,
                "RestartPolicy": {"Condition": "none"},
                "Networks": [{"Target": network} for network in self.networks],
            },
            "Mode": {"Replicated": {"Replicas": 1}},
        }


class Services:
    """The services of one engine. Everything raises EngineError where it is no manager."""

    def __init__(self, client: DockerClient, *, credentials: CredentialSource) -> None:
        self._client = client
        self._credentials = credentials

    async def list(self, *, labels: Mapping[str, str]) -> Sequence[ServiceSummary]:
        """Return the services that have every label with its value."""
        wanted = [f"{key}={value}" for key, value in labels.items()]
        query = {"filters": json.dumps({"label": wanted})}
        found = await self._client.call("GET", "/services", query=query)
        return [ServiceSummary.parse(item) for item in found]

    @asynccontextmanager
    async def run(self, wanted: OneOff, *, login: bool = True) -> AsyncIterator[Tasks]:
        """Create a service, whose events are those of its task; leaving the block removes it."""
        answer = await self._send("/services/create", wanted.spec(), image=wanted.image,
                                  login=login)  # fmt: skip
        id_ = str(answer["ID"])
        try:
            yield Tasks(self._client, id_, forced=0, count=1)
        finally:
            await asyncio.shield(self._remove(id_))

    @asynccontextmanager
    async def rerun(
        self, service: str, *, replicas: int = 1, login: bool = False, beside: bool = False
    ) -> AsyncIterator[Tasks]:
        """Start a service's tasks anew, as ``docker service update --force``.

        Its events are those of the new tasks. Leaving the block before their end scales the
        service to zero. Raises :class:`Conflict` when tasks of it run already, unless they may
        be replaced (``beside``), :class:`Unsupported` for a service that restarts by itself.
        """
        if not beside and await self._runs(service):
            raise Conflict(f"service {service!r} has tasks that run still")
        id_, forced = await self._force(service, replicas=replicas, login=login)
        tasks = Tasks(self._client, id_, forced=forced, count=replicas)
        try:
            yield tasks
        finally:
            if not tasks.ended:
                await asyncio.shield(self._scale_down(id_))

    async def _runs(self, service: str) -> bool:
        found = await tasks_of(self._client, service)
        return any(task["Status"]["State"] not in _OVER for task in found)

    async def _force(self, service: str, *, replicas: int, login: bool) -> tuple[str, int]:
        """Change a service so that its tasks begin anew; return its id and which time this is."""
        for attempt in range(_TRIES):
            found = await self._client.call("GET", f"/services/{service}")
            spec = found["Spec"]
            _scaled(service, spec, replicas=replicas)
            template = spec["TaskTemplate"]
            template["ForceUpdate"] = int(template.get("ForceUpdate") or 0) + 1
            path = f"/services/{found['ID']}/update"
            version = {"version": found["Version"]["Index"]}
            image = template["ContainerSpec"]["Image"]
            try:
                await self._send(path, spec, query=version, image=image, login=login)
            except Refused as error:
                if _OUT_OF_SEQUENCE not in error.reason or attempt == _TRIES - 1:
                    raise
                continue  # somebody else has changed it in between
            return str(found["ID"]), template["ForceUpdate"]
        raise AssertionError

    async def _scale_down(self, id_: str) -> None:
        for attempt in range(_TRIES):
            found = await self._client.call("GET", f"/services/{id_}")
            spec = found["Spec"]
            if "Replicated" not in spec["Mode"]:
                spec["Mode"]["ReplicatedJob"] = {"MaxConcurrent": 1, "TotalCompletions": 0}
            else:
                spec["Mode"]["Replicated"] = {"Replicas": 0}
            version = {"version": found["Version"]["Index"]}
            try:
                await self._client.call("POST", f"/services/{id_}/update", query=version, data=spec)
            except Refused as error:
                if _OUT_OF_SEQUENCE not in error.reason or attempt == _TRIES - 1:
                    raise
            else:
                return

    async def _remove(self, id_: str) -> None:
        await self._client.call("DELETE", f"/services/{id_}")

    async def _send(
        self,
        path: str,
        spec: dict[str, Any],
        *,
        image: str,
        login: bool,
        query: Mapping[str, int] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Send a spec, with what its image's registry wants to know where there is a login."""
        headers = {}
        if login:
            registry = Reference.parse(image).registry
            found = await self._credentials.find(registry)
            headers = {"X-Registry-Auth": registry_auth(found, registry)} if found else {}
        request = await self._client.request(
            "POST", path, query=query, body=json.dumps(spec).encode(), is_json=True,
            headers=headers,
        )  # fmt: skip
        async with self._client.open(request) as response:
            with failing(f"POST {path}", address=self._client.address):
                return json.loads(await response.read())


class Tasks:
    """The tasks that one change of a service began: their output when they end, then one Exit."""

    def __init__(self, client: DockerClient, service: str, *, forced: int, count: int) -> None:
        self._client = client
        self._service = service
        self._forced = forced
        self._count = count
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        left: set[str] = set()
        seen: list[_Task] = []
        wait = _FIRST
        while len(seen) < self._count:
            new = [task for task in await self._over() if task.id not in left]
            for task in sorted(new, key=lambda each: each.slot):
                left.add(task.id)
                seen.append(task)
                async for output in self._output(task):
                    yield output
            if len(seen) < self._count:
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, _SLOWEST)
        self.ended = True
        codes = [task.code() for task in seen]
        yield exit_from_code(next((code for code in codes if code), 0))

    async def _over(self) -> list[_Task]:
        """Return the tasks of this change that have ended."""
        return [
            _Task.parse(item)
            for item in await tasks_of(self._client, self._service)
            if int(item["Spec"].get("ForceUpdate") or 0) == self._forced
            and item["Status"]["State"] in _OVER
        ]

    async def _output(self, task: _Task) -> AsyncIterator[Output]:
        query = {"stdout": True, "stderr": True}
        if not task.has_run:
            return
        request = await self._client.request("GET", f"/tasks/{task.id}/logs", query=query)
        frames = Frames()
        async with self._client.open(request) as response:
            with failing(f"reading the logs of task {task.id}", address=self._client.address):
                async for chunk in response.stream():
                    for output in [Output("stdout", chunk)] if task.tty else frames.feed(chunk):
                        yield output
        frames.finish()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    id: str
    slot: int
    state: str
    error: str
    exit_code: int | None
    has_run: bool
    tty: bool

    @classmethod
    def parse(cls, item: Mapping[str, Any]) -> Self:
        status, spec = item["Status"], item["Spec"].get("ContainerSpec") or {}
        container = status.get("ContainerStatus") or {}
        return cls(
            id=item["ID"],
            slot=int(item.get("Slot") or 0),
            state=status["State"],
            error=status.get("Err") or status.get("Message") or "",
            exit_code=container.get("ExitCode"),
            has_run=bool(container.get("ContainerID")),
            tty=bool(spec.get("TTY")),
        )

    def code(self) -> int:
        """Return how its program ended; raises for a task that came to none."""
        if self.state == "complete":
            return 0
        if self.state == "failed" and self.exit_code:
            return self.exit_code
        error = EngineError if self.has_run else StartError
        raise error(f"a task of the Swarm was {self.state}: {self.error}")


async def tasks_of(client: DockerClient, service: str) -> list[dict[str, Any]]:
    """Return the tasks of a service as the engine tells of them."""
    query = {"filters": json.dumps({"service": [service]})}
    found: list[dict[str, Any]] = await client.call("GET", "/tasks", query=query)
    return found


def _scaled(service: str, spec: dict[str, Any], *, replicas: int) -> None:
    """Set how many tasks a service has; raises for one that would not end."""
    mode: dict[str, Any] = spec["Mode"]
    policy = (spec["TaskTemplate"].get("RestartPolicy") or {}).get("Condition", "any")
    if policy != "none":
        raise Unsupported(
            f"service {service!r} restarts by itself (condition {policy!r}); a schedule needs a "
            "restart policy of none"
        )
    if "Replicated" in mode:
        mode["Replicated"] = {"Replicas": replicas}
        # Else tasks begin one after another, and none any more once one has failed.
        spec["UpdateConfig"] = {**(spec.get("UpdateConfig") or {}), **_ALL_AT_ONCE}
    elif "ReplicatedJob" in mode:
        mode["ReplicatedJob"] = {"MaxConcurrent": replicas, "TotalCompletions": replicas}
    else:
        raise Unsupported(f"service {service!r} is global; a schedule runs replicated ones")
