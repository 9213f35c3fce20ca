"""The cgroup file systems as this process sees them, and the few operations on their files."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CONTROLLERS = ("memory", "pids", "cpu")
"""What limits are made of here, in the order in which groups are made."""

_READ = 64 * 1024


class Tree:
    """Control files and directories; raises OSError as the kernel does."""

    def make(self, path: Path) -> None:
        """Make a group."""
        os.mkdir(path, 0o755)  # noqa: PTH102 - what a call costs is made of these

    def remove(self, path: Path) -> None:
        """Remove a group without processes; EBUSY while it has some."""
        os.rmdir(path)  # noqa: PTH106

    def read(self, path: Path) -> str:
        """Return what a control file says."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            parts = []
            while part := os.read(fd, _READ):
                parts.append(part)
        finally:
            os.close(fd)
        return b"".join(parts).decode(errors="surrogateescape")

    def write(self, path: Path, text: str) -> None:
        """Tell a control file something, in one write as it wants it."""
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def read_fields(self, path: Path) -> dict[str, int]:
        """Read lines of ``name number``; empty when the file is not there."""
        try:
            lines = self.read(path).splitlines()
        except FileNotFoundError:
            return {}
        pairs = (line.split() for line in lines)
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}

    def read_number(self, path: Path) -> int | None:
        """Read one number; None when the file is not there (older kernels)."""
        try:
            return int(self.read(path))
        except FileNotFoundError:
            return None

    def members(self, group: Path) -> set[int]:
        """Return the pids in a group; none when it is gone. Those of other namespaces are 0."""
        try:
            return {int(word) for word in self.read(group / "cgroup.procs").split()}
        except OSError as error:
            # ENODEV: the group was removed after the file was opened.
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return set()
            raise

    def is_delegated(self, group: Path) -> bool:
        """Return whether systemd marked a group as handed over (``Delegate=yes``)."""
        for name in ("user.delegate", "trusted.delegate"):
            with suppress(OSError):
                if os.getxattr(group, name) == b"1":
                    return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """One mounted hierarchy of groups."""

    version: Literal[1, 2]
    controllers: frozenset[str]
    """The v1 controllers mounted here; empty for v2, where each group has its own."""
    top: Path
    """Where it is mounted."""
    own: Path
    """The group this process is in."""


def hierarchies(*, root: Path, proc: Path) -> list[Hierarchy]:
    """Return the hierarchies mounted at or below `root`, by `proc`'s ``mountinfo``.

    One in which this process's own group cannot be seen is left out (cgroup_namespaces(7)).
    """
    own = dict(_own_groups(proc / "cgroup"))
    found: dict[str, Hierarchy] = {}
    for line in (proc / "mountinfo").read_text(errors="surrogateescape").splitlines():
        hierarchy = _hierarchy(line, root, own)
        if hierarchy:
            found.setdefault(",".join(sorted(hierarchy.controllers)), hierarchy)
    return list(found.values())


def _own_groups(path: Path) -> Iterator[tuple[frozenset[str], str]]:
    for line in path.read_text(errors="surrogateescape").splitlines():
        _, names, group = line.split(":", 2)
        yield frozenset(filter(None, names.split(","))), group


def _hierarchy(line: str, root: Path, groups: dict[frozenset[str], str]) -> Hierarchy | None:
    """Read one line of mountinfo (proc(5)); None when it is no hierarchy of use."""
    fields, _, rest = line.partition(" - ")
    kind, _, options = [*rest.split(" "), "", ""][:3]
    _, _, _, mounted, where, *_ = fields.split(" ")
    top = Path(_unescaped(where))
    if kind not in ("cgroup", "cgroup2") or not top.is_relative_to(root):
        return None
    names = frozenset[str]() if kind == "cgroup2" else frozenset(options.split(","))
    key = next((key for key in groups if key <= names and bool(key) == bool(names)), None)
    if key is None:
        return None
    try:
        below = Path(groups[key]).relative_to(_unescaped(mounted))
    except ValueError:
        return None
    if ".." in below.parts:
        return None
    version: Literal[1, 2] = 2 if kind == "cgroup2" else 1
    return Hierarchy(version=version, controllers=key, top=top, own=top / below)


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)
