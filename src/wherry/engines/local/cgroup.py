"""Limits by control groups, wherever this machine lets us make some.

cgroup v2 is used where it hands on what we need, else v1 (hybrid hosts), else none: see
:func:`detect`. Sources: the kernel's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wherry.engines.local.cgroup_group import PREFIX, Group, Usage
from wherry.engines.local.cgroup_tree import CONTROLLERS, Hierarchy, Tree, hierarchies
from wherry.engines.local.cgroup_v1 import GroupV1, usable_v1
from wherry.engines.local.cgroup_v2 import GroupV2, make_below_parent, usable_v2
from wherry.errors import EngineError, Unsupported

__all__ = ["Cgroups", "Group", "Place", "Support", "Usage", "detect"]

_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_ADVICE = (
    "run as root, or on a machine with cgroup v2 and systemd by way of "
    "`systemd-run --user --scope -p Delegate=yes`"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where groups are made, and the top of what is mounted there."""

    parent: Path
    top: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Which limits this process can enforce by control groups."""

    layout: Literal["v2", "v1", "none"]
    memory: bool = False
    cpu: bool = False
    pids: bool = False
    reason: str
    """One line: what works, or why not and how to get it."""
    places: Mapping[str, Place] = field(default_factory=dict)
    """By controller; for v2 they are all the same."""


def detect(
    *,
    root: Path = Path("/sys/fs/cgroup"),
    proc: Path = Path("/proc/self"),
    tree: Tree | None = None,
) -> Support:
    """Find out what can be limited, by making and removing a group. Takes about 1 ms: keep it.

    On v2 this may move this process into a group of its own below the one it is in, when that
    one was delegated to us: only so can it hand controllers on.
    """
    tree = tree or Tree()
    try:
        found = hierarchies(root=root, proc=proc)
    except OSError as error:
        return Support(layout="none", reason=f"no limits: {proc} cannot be read: {error.strerror}")
    places, refused = _places_v2(found, tree)
    layout: Literal["v2", "v1"] = "v2"
    if not places:
        layout = "v1"
        usable, also_refused = usable_v1(found, tree)
        refused = "; ".join(filter(None, [refused, also_refused]))
        places = {name: Place(parent=h.own, top=h.top) for name, h in usable.items()}
    if not places:
        why = refused or f"no memory, pids or cpu controller is mounted below {root}"
        return Support(layout="none", reason=f"no limits by cgroup ({why}); {_ADVICE}")
    return Support(
        layout=layout,
        memory="memory" in places,
        cpu="cpu" in places,
        pids="pids" in places,
        reason=_reason(layout, places, refused),
        places=places,
    )


def _places_v2(found: list[Hierarchy], tree: Tree) -> tuple[dict[str, Place], str]:
    unified = next((h for h in found if h.version == 2), None)
    if unified is None:
        return {}, ""
    usable, refused = usable_v2(unified, tree)
    if usable is None:
        return {}, refused
    place = Place(parent=usable.parent, top=usable.top)
    return {name: place for name in CONTROLLERS if name in usable.controllers}, ""


def _reason(layout: str, places: Mapping[str, Place], refused: str) -> str:
    lacking = [name for name in CONTROLLERS if name not in places]
    text = f"limits by cgroup {layout}: {', '.join(places)}"
    if not lacking:
        return text
    why = f" ({refused})" if refused else ""
    return f"{text}; not {', '.join(lacking)}{why}: mount or delegate it"


class Cgroups:
    """Makes groups, and finds those that are left."""

    def __init__(self, support: Support, *, tree: Tree | None = None) -> None:
        self.support = support
        self._tree = tree or Tree()

    def create(
        self, name: str, *, memory: int | None, cpus: float | None, pids: int | None
    ) -> Group:
        """Make a group with limits: bytes of memory without swap, CPU seconds per second, pids.

        `name` is of letters, digits, ``.``, ``_`` and ``-``. A limit that is None is not set.
        Raises :class:`Unsupported` for a limit that cannot be kept here, :class:`EngineError`
        when the kernel refuses.
        """
        if not _NAME.fullmatch(name):
            raise EngineError(f"group name {name!r} is not of letters, digits, '.', '_' and '-'")
        self._check({"memory": memory, "cpu": cpus, "pids": pids})
        group = self._group(name, with_cpu=cpus is not None)
        try:
            self._make(group.directories)
            group.limit(memory=memory, cpus=cpus, pids=pids)
        except OSError as error:
            group.remove_now()
            raise EngineError(f"cannot make the container's group: {error}") from error
        return group

    def find(self, prefix: str = "") -> list[Group]:
        """Return the existing groups of this user whose names start so, whoever made them.

        For the reaper: which of them are stale only their names can say.
        """
        places = list(dict.fromkeys(self.support.places.values()))
        if not places:
            return []
        # Groups are made in the first hierarchy first and removed from it last.
        names = {path.name for path in _ours(places[0].top, prefix)}
        if not names:
            return []
        found: dict[str, dict[str, Path]] = {name: {} for name in names}
        for controller, place in self.support.places.items():
            for path in _ours(place.top, prefix):
                found.setdefault(path.name, {})[controller] = path
        return [self._found(name, paths) for name, paths in sorted(found.items())]

    def close(self) -> None:
        """Remove the subtree of all our groups, if it is empty."""
        if self.support.layout == "v2":
            for place in set(self.support.places.values()):
                GroupV2("", place.parent, self._tree).remove_now()

    def _check(self, limits: Mapping[str, float | None]) -> None:
        for controller, value in limits.items():
            if value is not None and controller not in self.support.places:
                raise Unsupported(f"{controller} limit {value}: {self.support.reason}")

    def _group(self, name: str, *, with_cpu: bool) -> GroupV1 | GroupV2:
        places = self.support.places
        if not places:
            raise Unsupported(self.support.reason)
        directories = {c: place.parent / f"{PREFIX}{name}" for c, place in places.items()}
        if self.support.layout == "v2":
            return GroupV2(name, next(iter(directories.values())), self._tree)
        if not with_cpu and len(directories) > 1:
            directories.pop("cpu", None)
        return GroupV1(name, directories, self._tree)

    def _found(self, directory: str, paths: dict[str, Path]) -> Group:
        name = directory.removeprefix(PREFIX)
        if self.support.layout == "v2":
            return GroupV2(name, next(iter(paths.values())), self._tree)
        return GroupV1(name, paths, self._tree)

    def _make(self, directories: Iterable[Path]) -> None:
        for directory in directories:
            if self.support.layout == "v2":
                make_below_parent(directory, self._tree, controllers=self.support.places)
            else:
                self._tree.make(directory)


def _ours(top: Path, prefix: str) -> Iterator[Path]:
    """Yield the groups below `top` that are named as ours are and belong to this user."""
    pending = [top]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except (FileNotFoundError, PermissionError):
            continue
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                continue
            if not entry.name.startswith(PREFIX):
                pending.append(Path(entry.path))
            elif entry.name.startswith(PREFIX + prefix) and _is_mine(entry):
                yield Path(entry.path)


def _is_mine(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except FileNotFoundError:
        return False
