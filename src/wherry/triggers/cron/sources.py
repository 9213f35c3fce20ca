"""Files and labels that declare schedules, applied as they are, and again when they change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from wherry.errors import EngineError, NotFound, UsageError, WherryError
from wherry.functions.durably import completed
from wherry.functions.files import read_tables
from wherry.triggers.cron import labels, ofelia, swarm, tables
from wherry.triggers.cron.model import API

if TYPE_CHECKING:
    from wherry.triggers.cron.declared import Declared
    from wherry.triggers.cron.labels import Labelled
    from wherry.triggers.cron.scheduler import Scheduler

EVERY = 0.5
"""Seconds between looks at the files."""
LABELS = "container labels"
"""The source of what labels declare."""
_LABELS_EVERY = 10.0
_LARGEST = 16 * 1024 * 1024
_LOG = logging.getLogger(__name__)

SERVICES = "service labels"
"""The source of what labels of a Swarm's services declare."""
Look = Callable[[], Awaitable[Iterable["Labelled"]]]
"""Returns what has labels; raises :class:`WherryError` when that cannot be seen."""


class ScheduleSources:
    """Keeps a scheduler as some files and labels say.

    A definition that cannot be leaves the one before it, and :attr:`problems` says why; so does
    a file that cannot be read, or an engine that does not answer.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        files: Iterable[Path] = (),
        *,
        look: Look | None = None,
        look_at_services: Look | None = None,
    ) -> None:
        """``files``: ``.ini`` is ofelia's, all others are ours. What others declared goes.

        ``look`` returns containers with labels of ofelia, ``look_at_services`` services with
        those of swarm-cronjob.
        """
        self._scheduler = scheduler
        self._files = tuple(dict.fromkeys(path.absolute() for path in files))
        labelled = {
            LABELS: (look, labels.declared_by),
            SERVICES: (look_at_services, swarm.declared_by),
        }
        self._labelled = {
            source: (asked, read) for source, (asked, read) in labelled.items() if asked is not None
        }
        self._seen: dict[Path, tuple[int, int, int] | None] = {}
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> Mapping[str, str]:
        """Source to what is wrong with it now, in one or more lines."""
        return MappingProxyType(self._problems)

    async def apply(self) -> None:
        """Apply everything. Raises nothing for mistakes in it."""
        ours = {API, *map(str, self._files), *self._labelled}
        for name, known in list(self._scheduler.known.items()):
            if known.entry.source not in ours:
                await self._remove(name, source=known.entry.source)
        await self._apply_files()
        for source in self._labelled:
            await self._apply_labels(source)

    async def run(self) -> None:
        """Apply changes, until cancelled: of files within a second, of labels within ten."""
        async with asyncio.TaskGroup() as group:
            if self._files:
                group.create_task(_again(self._apply_files, every=EVERY))
            for source in self._labelled:
                again = partial(self._apply_labels, source)
                group.create_task(_again(again, every=_LABELS_EVERY))

    async def _apply_files(self) -> None:
        for path in self._files:
            stamp = _stamp(path)
            if path in self._seen and self._seen[path] == stamp and str(path) not in self._problems:
                continue
            self._seen[path] = stamp
            try:
                declared = await completed(read_file, path)
            except UsageError as error:
                self._note(str(path), [str(error)])
            else:
                await self._apply(declared, source=str(path))

    async def _apply_labels(self, source: str) -> None:
        look, read = self._labelled[source]
        try:
            declared = read(await look())
        except WherryError as error:
            self._note(source, [str(error)])
            return
        await self._apply(declared, source=source)

    async def _apply(self, declared: Declared, *, source: str) -> None:
        wrong = dict(declared.wrong)
        for definition in declared.definitions:
            try:
                await self._scheduler.define(definition, source=source)
            except (UsageError, EngineError) as error:
                wrong[definition.name] = f"schedule {definition.name!r}: {error}"
        there = {definition.name for definition in declared.definitions} | set(declared.wrong)
        for name, known in list(self._scheduler.known.items()):
            if known.entry.source == source and name not in there:
                await self._remove(name, source=source)
        self._note(source, [f"{source}: {said}" for said in wrong.values()])

    async def _remove(self, name: str, *, source: str) -> None:
        try:
            await self._scheduler.remove(name, source=source)
        except NotFound:
            return
        except EngineError as error:
            _LOG.error("a schedule cannot be removed", extra={"error": str(error)})

    def _note(self, source: str, wrong: list[str]) -> None:
        said = "\n".join(wrong)
        if said == self._problems.get(source, ""):
            return
        if said:
            self._problems[source] = said
            _LOG.warning("schedules have a mistake", extra={"reason": said})
        else:
            del self._problems[source]
            _LOG.info("schedules are right again", extra={"source": source})


def read_file(path: Path) -> Declared:
    """Read a file of schedules; blocks. Raises :class:`UsageError` for one that is none."""
    if path.suffix.lower() != ".ini":
        return tables.declared_in(read_tables(path))
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path}: it cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8") from error
    if len(text) > _LARGEST:
        raise UsageError(f"{path}: it is larger than 16 MiB")
    try:
        return ofelia.declared_in(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


async def _again(work: Callable[[], Awaitable[None]], *, every: float) -> None:
    while True:
        await asyncio.sleep(every)
        await work()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
