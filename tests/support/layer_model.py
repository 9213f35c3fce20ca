"""What layers mean, in memory: an independent and simple reading of the specification.

A tree is dictionaries of names; every node remembers the layer it came with. Slow, obvious,
and without a file system to get wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Entry = tuple[str, str, str]
"""Kind (file, dir, symlink, link, whiteout, opaque), path, and content or target."""


class Refused(Exception):
    """The layer cannot be applied."""


@dataclass(eq=False)
class File:
    content: str


@dataclass(eq=False)
class Symlink:
    target: str


@dataclass(eq=False)
class Directory:
    children: dict[str, Node] = field(default_factory=dict)


@dataclass(eq=False)
class Node:
    """A name: what it stands for, and the layer that wrote it (None: nobody did)."""

    what: File | Symlink | Directory
    layer: int | None


class Model:
    """A file system that layers are applied to."""

    def __init__(self) -> None:
        self.root = Directory()
        self._layer = 0

    def apply(self, layer: list[Entry]) -> None:
        self._layer += 1
        for kind, path, value in layer:
            *above, name = path.split("/")
            match kind:
                case "whiteout":
                    if (parent := self._enter(above, make=False)) is not None:
                        self._hide(parent, name)
                case "opaque":
                    if (parent := self._enter([*above, name], make=False)) is not None:
                        for child in list(parent.children):
                            self._hide(parent, child)
                case "link":
                    self._link(above, name, value)
                case _:
                    self._write(self._must_enter(above), kind, name, value)

    def listing(self) -> dict[str, object]:
        """Return every path with its content, target or None, and files with several names."""
        found: dict[str, object] = {}
        same: dict[int, list[str]] = {}
        self._list(self.root, "", found, same)
        found["same"] = sorted(names for names in same.values() if len(names) > 1)
        return found

    def _list(
        self, top: Directory, prefix: str, found: dict[str, object], same: dict[int, list[str]]
    ) -> None:
        for name, node in sorted(top.children.items()):
            path = f"{prefix}{name}"
            match node.what:
                case Directory():
                    found[path] = None
                    self._list(node.what, f"{path}/", found, same)
                case File():
                    found[path] = node.what.content
                    same.setdefault(id(node.what), []).append(path)
                case Symlink():
                    found[path] = ("->", node.what.target)
                    same.setdefault(id(node.what), []).append(path)

    def _write(self, parent: Directory, kind: str, name: str, value: str) -> None:
        old = parent.children.get(name)
        match kind:
            case "file":
                parent.children[name] = Node(File(value), self._layer)
            case "symlink":
                parent.children[name] = Node(Symlink(value), self._layer)
            case "dir" if old is not None and isinstance(old.what, Directory):
                old.layer = self._layer
            case "dir":
                parent.children[name] = Node(Directory(), self._layer)

    def _link(self, above: list[str], name: str, target: str) -> None:
        *target_above, target_name = target.split("/")
        source = self._enter(target_above, make=False)
        if source is None:
            raise Refused
        parent = self._must_enter(above)
        old = source.children.get(target_name)
        if parent is source and name == target_name:
            if old is not None:
                old.layer = self._layer
            return
        replaced = parent.children.pop(name, None)
        found = source.children.get(target_name)
        if found is None or isinstance(found.what, Directory):
            raise Refused
        if replaced is not None and _contains(replaced.what, source):
            raise Refused
        parent.children[name] = Node(found.what, self._layer)

    def _hide(self, parent: Directory, name: str) -> None:
        node = parent.children.get(name)
        if node is None:
            return
        if not self._is_of_this_layer(node):
            del parent.children[name]
        elif isinstance(node.what, Directory):
            for child in list(node.what.children):
                self._hide(node.what, child)

    def _is_of_this_layer(self, node: Node) -> bool:
        if node.layer == self._layer:
            return True
        return isinstance(node.what, Directory) and any(
            self._is_of_this_layer(child) for child in node.what.children.values()
        )

    def _must_enter(self, parts: list[str]) -> Directory:
        found = self._enter(parts, make=True)
        if found is None:
            raise Refused
        return found

    def _enter(self, parts: list[str], *, make: bool) -> Directory | None:
        trail, todo, links = [self.root], list(parts), 0
        while todo:
            name = todo.pop(0)
            if name == "..":
                trail = trail[:-1] or [self.root]
                continue
            here = trail[-1].children
            if name not in here:
                if not make:
                    return None
                here[name] = Node(Directory(), None)
            match here[name].what:
                case Directory() as below:
                    trail.append(below)
                case Symlink(target=target):
                    links += 1
                    if links > 40:
                        return None
                    if target.startswith("/"):
                        trail = [self.root]
                    todo = [part for part in target.split("/") if part] + todo
                case File():
                    return None
        return trail[-1]


def _contains(what: File | Symlink | Directory, wanted: Directory) -> bool:
    if what is wanted:
        return True
    return isinstance(what, Directory) and any(
        _contains(child.what, wanted) for child in what.children.values()
    )
