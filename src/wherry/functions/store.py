"""Which functions are deployed: read from memory, written to disk before anybody is told."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError
from wherry.functions.counting import Counting
from wherry.functions.database import Database, Row
from wherry.functions.declare import declared, stages_of
from wherry.functions.durably import completed, to_the_end
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed, Deployment
from wherry.functions.names import place_of
from wherry.functions.namespaces import Namespace, Namespaces
from wherry.functions.secrets import SecretStore
from wherry.functions.settings import ready_of
from wherry.names import nearest

API = "api"
"""The source of what was deployed by a client rather than by a file."""

Changed = Callable[[str, Deployed | None], None]
"""Called with a function's qualified name, and what it is now: None when it was removed."""

Names = list[str]

_log = logging.getLogger(__name__)


class FunctionStore:
    """The functions, secrets and namespaces of one server; see :meth:`open`.

    Reading is synchronous and takes constant time. A write is durable when it returns, and
    readers see it then; a cancelled write is done or not done, never half.
    """

    def __init__(self, database: Database, *, directory: Path, clock: Callable[[], float]) -> None:
        self._namespaces = Namespaces(database)
        self.secrets = SecretStore(directory / "secrets", namespaces=self._namespaces.get)
        self.problems: dict[str, str] = {}
        """Qualified name to why a function that is kept cannot be served."""
        self._database = database
        self._clock = clock
        self._lock = asyncio.Lock()
        self._functions: dict[str, Deployed] = {}
        self._watchers: list[Changed] = []
        self._counting = Counting(database, self._lock)
        self._closed = False

    @classmethod
    async def open(
        cls, directory: Path, *, clock: Callable[[], float] = time.time
    ) -> FunctionStore:
        """Open the store of a directory, which is made if it is missing.

        Raises :class:`EngineError` when its database is damaged, in use, or of a newer wherry.
        """
        return await completed(cls._open, directory, clock=clock)

    @classmethod
    def _open(cls, directory: Path, *, clock: Callable[[], float]) -> FunctionStore:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(f"{directory} cannot be made: {error.strerror}") from error
        database = Database(directory / "functions.db")
        try:
            store = cls(database, directory=directory, clock=clock)
            store.secrets.tidy()
            for row in database.functions():
                store._load(row)
        except BaseException:
            database.close()
            raise
        return store

    def get(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> Deployed:
        """Return a function. Raises :class:`NotFound` with the nearest name."""
        deployed = self._functions.get(f"{name}.{namespace}")
        if deployed is None:
            raise self._not_found(name, namespace)
        return deployed

    def list(self, namespace: str | None = None) -> list[Deployed]:
        """Return the functions of one namespace, or of all, by their names."""
        found = (deployed for deployed in self._functions.values()
                 if namespace in (None, deployed.namespace))  # fmt: skip
        return sorted(found, key=lambda deployed: (deployed.namespace, deployed.name))

    async def deploy(self, deployment: Deployment, *, source: str = API) -> Deployed:
        """Create a function, or replace the one of its name.

        ``source`` is the file that declares it. A file takes over what a client deployed; what a
        file declares is changed there alone, so a client hears :class:`AlreadyExists`. Raises
        :class:`UsageError` for what cannot be right, and changes nothing then.
        """
        return await to_the_end(self._deploy(deployment, source=source, must_exist=False))

    async def update(self, deployment: Deployment) -> Deployed:
        """Replace a function; as :meth:`deploy`, but :class:`NotFound` when there is none."""
        return await to_the_end(self._deploy(deployment, source=API, must_exist=True))

    async def remove(
        self, name: str, *, namespace: str = DEFAULT_NAMESPACE, source: str = API
    ) -> None:
        """Remove a function. Raises :class:`NotFound`, :class:`AlreadyExists` for a file's."""
        await to_the_end(self._remove(name, namespace=namespace, source=source))

    async def scale(
        self, name: str, *, namespace: str = DEFAULT_NAMESPACE, replicas: int
    ) -> Deployed:
        """Ask for so many ready containers, until the function is deployed anew; 0 is none.

        Raises :class:`NotFound`, :class:`UsageError`.
        """
        return await to_the_end(self._scale(name, namespace=namespace, replicas=replicas))

    def watch(self, changed: Changed) -> None:
        """Have every change told, after it is durable. ``changed`` must not raise."""
        self._watchers.append(changed)

    def invocations(self, qualified: str) -> int:
        """Return how often a function was called."""
        return self._counting.number(qualified)

    def count(self, qualified: str) -> None:
        """Note a call; a crash may forget those of the last seconds."""
        if qualified in self._functions:
            self._counting.add(qualified)

    def namespaces(self) -> Names:
        """Return the names of all namespaces, sorted."""
        return self._namespaces.names()

    def namespace(self, name: str) -> Namespace:
        """Return a namespace. Raises :class:`NotFound`."""
        return self._namespaces.get(name)

    async def create_namespace(self, namespace: Namespace) -> None:
        """Make a namespace. Raises :class:`AlreadyExists`, :class:`UsageError`."""
        async with self._lock:
            await to_the_end(self._namespaces.create(namespace))

    async def update_namespace(self, namespace: Namespace) -> None:
        """Replace a namespace's labels and annotations. Raises :class:`NotFound`."""
        async with self._lock:
            await to_the_end(self._namespaces.update(namespace))

    async def remove_namespace(self, name: str) -> None:
        """Remove an empty namespace. Raises :class:`NotFound`, :class:`UsageError`."""
        async with self._lock:
            inside = len(self.list(name)), len(self.secrets.names(namespace=name))
            await to_the_end(self._namespaces.remove(name, inside=inside))

    async def aclose(self) -> None:
        """Write what is not written yet, and close the file. Idempotent."""
        if not self._closed:
            self._closed = True
            await to_the_end(self._close())

    async def _close(self) -> None:
        try:
            await self._counting.aclose()
        finally:
            await completed(self._database.close)

    async def _deploy(self, deployment: Deployment, *, source: str, must_exist: bool) -> Deployed:
        async with self._lock:
            before = self._current(deployment)
            if before is None and must_exist:
                name, namespace = place_of(deployment.service, namespace=deployment.namespace)
                raise self._not_found(name, namespace)
            _check_owner(before, source)
            created = self._clock() if before is None else before.created
            deployed = declared(deployment, secrets=self.secrets, created=created, source=source)
            self._check_neighbours(deployed)
            await self._keep(deployed, replicas=None)
            return deployed

    async def _remove(self, name: str, *, namespace: str, source: str) -> None:
        async with self._lock:
            qualified = f"{name}.{namespace}"
            if qualified not in self.problems:
                _check_owner(self.get(name, namespace=namespace), source)
            await completed(self._database.remove, name, namespace=namespace)
            self._functions.pop(qualified, None)
            self.problems.pop(qualified, None)
            self._counting.forget(qualified)
            self._tell(qualified, None)

    async def _scale(self, name: str, *, namespace: str, replicas: int) -> Deployed:
        async with self._lock:
            deployed = self.get(name, namespace=namespace)
            most = deployed.settings.scale_max
            if not 0 <= replicas <= most:
                raise UsageError(
                    f"replicas: {replicas} is not from 0 to {most}, the most that "
                    f"{name!r} may have (label com.openfaas.scale.max)"
                )
            ready = ready_of(deployed.settings, replicas=replicas)
            if deployed.deployment.pipe is not None:
                ready = None
            function = dataclasses.replace(deployed.function, ready=ready)
            scaled = dataclasses.replace(deployed, function=function, replicas=replicas)
            await self._keep(scaled, replicas=replicas)
            return scaled

    async def _keep(self, deployed: Deployed, *, replicas: int | None) -> None:
        await completed(self._database.put, _row(deployed, replicas))
        self._functions[deployed.qualified] = deployed
        self.problems.pop(deployed.qualified, None)
        self._tell(deployed.qualified, deployed)

    def _tell(self, qualified: str, deployed: Deployed | None) -> None:
        for changed in self._watchers:
            changed(qualified, deployed)

    def _load(self, row: Row) -> None:
        try:
            deployment = msgspec.json.decode(row.document, type=Deployment)
            deployed = declared(
                deployment,
                secrets=self.secrets,
                created=row.created,
                source=row.source,
                replicas=row.replicas,
            )
        except (msgspec.DecodeError, UsageError) as error:
            # Of another version; the others are to be served all the same.
            self.problems[f"{row.name}.{row.namespace}"] = str(error)
            _log.warning(
                "a deployed function cannot be served",
                extra={"function": f"{row.name}.{row.namespace}", "reason": str(error)},
            )
            return
        self._functions[deployed.qualified] = deployed

    def _current(self, deployment: Deployment) -> Deployed | None:
        name, namespace = place_of(deployment.service, namespace=deployment.namespace)
        return self._functions.get(f"{name}.{namespace}")

    def _check_neighbours(self, deployed: Deployed) -> None:
        """Refuse what names a namespace, secret or function that is not there."""
        namespace = deployed.namespace
        if namespace not in self._namespaces.names():
            known = nearest(namespace, self._namespaces.names())
            raise UsageError(f"namespace: there is no {namespace!r}{known}")
        for secret in deployed.deployment.secrets or ():
            if not self.secrets.has(secret, namespace=namespace):
                known = nearest(secret, self.secrets.names(namespace=namespace))
                raise UsageError(
                    f"secrets: there is no {secret!r} in namespace {namespace!r}{known}"
                )
        self._check_pipe(deployed)
        self._check_mode(deployed)

    def _check_pipe(self, deployed: Deployed) -> None:
        todo: list[tuple[tuple[str, str], tuple[str, ...]]]
        todo = [(stage, (deployed.qualified,)) for stage in stages_of(deployed.deployment)]
        while todo:
            (name, namespace), above = todo.pop()
            qualified = f"{name}.{namespace}"
            if qualified in above:
                raise UsageError(f"pipe: {' -> '.join((*above, qualified))} goes round in a circle")
            stage = self._functions.get(qualified)
            if stage is None:
                raise UsageError(f"pipe: {self._not_found(name, namespace)}")
            if (mode := stage.settings.mode) != "stdio":
                raise UsageError(
                    f"pipe: {name!r} speaks {mode} (label wherry.mode), and a stage reads stdin "
                    "and writes stdout"
                )
            todo += [(below, (*above, qualified)) for below in stages_of(stage.deployment)]

    def _check_mode(self, deployed: Deployed) -> None:
        """Refuse a server that is a pipe, or a stage of one."""
        mode = deployed.settings.mode
        if mode == "stdio":
            return
        if mode == "http" and deployed.deployment.pipe is not None:
            raise UsageError("labels.wherry.mode: a pipe is no program that could listen")
        place = (deployed.name, deployed.namespace)
        for pipe in self._functions.values():
            if place in stages_of(pipe.deployment):
                raise UsageError(
                    f"labels.wherry.mode: {mode!r} cannot be while {deployed.name!r} is a stage "
                    f"of the pipe {pipe.qualified!r}; a stage reads stdin and writes stdout"
                )

    def _not_found(self, name: str, namespace: str) -> NotFound:
        known = [deployed.name for deployed in self._functions.values()
                 if deployed.namespace == namespace]  # fmt: skip
        where = "" if namespace == DEFAULT_NAMESPACE else f" in namespace {namespace!r}"
        near = nearest(name, known)
        return NotFound(f"there is no function {name!r}{where}{near if 'mean' in near else ''}")


def _check_owner(deployed: Deployed | None, source: str) -> None:
    """Refuse to change what another file declares, or any file when a client asks."""
    if deployed is not None and deployed.source not in (API, source):
        raise AlreadyExists(
            f"function {deployed.qualified!r} is declared in {deployed.source}; change it there"
        )


def _row(deployed: Deployed, replicas: int | None) -> Row:
    return Row(
        namespace=deployed.namespace,
        name=deployed.name,
        document=msgspec.json.encode(deployed.deployment).decode(),
        created=deployed.created,
        source=deployed.source,
        replicas=replicas,
    )
