"""Files of functions, applied to the store as they are, and again when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from wherry import config
from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError
from wherry.functions.declare import declared
from wherry.functions.durably import completed
from wherry.functions.files import Declaration, read_declaration
from wherry.functions.names import place_of
from wherry.functions.namespaces import Namespace
from wherry.functions.store import API, FunctionStore

if TYPE_CHECKING:
    from wherry.functions.model import Deployed, Deployment
    from wherry.functions.substitution import Variable

EVERY = 0.5
"""Seconds between looks at the files."""

_log = logging.getLogger(__name__)

Stamp = tuple[tuple[int, int, int] | None, ...]


class FileSource:
    """Keeps a store as some files say.

    A file with a mistake changes nothing: what it declared before goes on, and
    :attr:`problems` says why. A function whose secret or pipe's stage is not there yet waits
    for it alone. What a file no longer declares is removed; a file that is gone is a mistake.
    """

    def __init__(
        self,
        store: FunctionStore,
        paths: Iterable[Path],
        *,
        variable: Variable = config.variable,
    ) -> None:
        """``paths``: all files of this server; what others declared is removed."""
        self._store = store
        self._paths = tuple(dict.fromkeys(path.absolute() for path in paths))
        self._variable = variable
        self._seen: dict[Path, tuple[tuple[Path, ...], Stamp]] = {}
        self._problems: dict[Path, str] = {}
        self._is_alone = False

    @property
    def problems(self) -> Mapping[Path, str]:
        """File to what is wrong with it now, in one or more lines."""
        return MappingProxyType(self._problems)

    async def apply(self) -> None:
        """Apply what changed since the last time. Raises nothing for mistakes in files."""
        if not self._is_alone:
            self._is_alone = not await self._remove_strangers()
        for path in self._paths:
            seen = self._seen.get(path)
            if seen is None or path in self._problems or _stamp(seen[0]) != seen[1]:
                self._note(path, await self._apply(path))

    async def run(self) -> None:
        """Apply changes within a second, until cancelled."""
        while True:
            await self.apply()
            await asyncio.sleep(EVERY)

    async def _apply(self, path: Path) -> list[str]:
        """Apply one file; return what is wrong."""
        stamp = _stamp((path,))
        try:
            declaration = await completed(read_declaration, path, variable=self._variable)
            functions = self._checked(declaration)
        except UsageError as error:
            self._seen[path] = ((path,), stamp)
            return [str(error)]
        # Read after the stamp: at worst it is newer than that, and applied once more.
        rest = tuple(other for other in declaration.read if other != path)
        self._seen[path] = ((path, *rest), (*stamp, *_stamp(rest)))
        wrong = [await self._deploy(each, declaration) for each in functions]
        return [*filter(None, wrong), *await self._remove_missing(functions, source=str(path))]

    def _checked(self, declaration: Declaration) -> list[Deployed]:
        functions: list[Deployed] = []
        for deployment in declaration.deployments:
            try:
                functions.append(
                    declared(
                        deployment,
                        secrets=self._store.secrets,
                        created=0.0,
                        source=str(declaration.path),
                    )
                )
            except UsageError as error:
                said = declaration.explain(deployment, error)
                raise UsageError(f"{declaration.path}: {said}") from error
        return sorted(functions, key=lambda function: function.deployment.pipe is not None)

    async def _deploy(self, function: Deployed, declaration: Declaration) -> str | None:
        deployment = function.deployment
        try:
            if self._is_there(deployment, source=function.source):
                return None
            if function.namespace not in self._store.namespaces():
                await self._store.create_namespace(Namespace(name=function.namespace))
            await self._store.deploy(deployment, source=function.source)
        except UsageError as error:
            return f"{declaration.path}: {declaration.explain(deployment, error)}"
        except EngineError as error:
            return str(error)
        return None

    def _is_there(self, deployment: Deployment, *, source: str) -> bool:
        name, namespace = place_of(deployment.service, namespace=deployment.namespace)
        try:
            current = self._store.get(name, namespace=namespace)
        except NotFound:
            return False
        return current.deployment == deployment and current.source == source

    async def _remove_missing(self, functions: list[Deployed], *, source: str) -> list[str]:
        names = {function.qualified for function in functions}
        gone = [each for each in self._store.list()
                if each.source == source and each.qualified not in names]  # fmt: skip
        return await self._remove(gone)

    async def _remove_strangers(self) -> list[str]:
        ours = {API, *map(str, self._paths)}
        return await self._remove([each for each in self._store.list() if each.source not in ours])

    async def _remove(self, functions: list[Deployed]) -> list[str]:
        wrong = []
        for each in functions:
            try:
                await self._store.remove(each.name, namespace=each.namespace, source=each.source)
            except (NotFound, AlreadyExists):
                continue  # somebody else was quicker
            except EngineError as error:
                wrong.append(str(error))
        return wrong

    def _note(self, path: Path, wrong: list[str]) -> None:
        said = "\n".join(wrong)
        if said == self._problems.get(path, ""):
            return
        if said:
            self._problems[path] = said
            _log.warning("a file of functions has a mistake", extra={"reason": said})
        else:
            del self._problems[path]
            _log.info("a file of functions is right again", extra={"path": str(path)})


def _stamp(paths: tuple[Path, ...]) -> Stamp:
    return tuple(_seen(path) for path in paths)


def _seen(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
