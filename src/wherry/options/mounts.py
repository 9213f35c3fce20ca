"""Mounts as the docker command takes them: ``--mount``, ``--volume`` and ``--tmpfs``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from wherry.errors import UsageError
from wherry.models import Mount
from wherry.names import nearest
from wherry.units import parse_size

_ALIASES = {
    "type": "type",
    "source": "source",
    "src": "source",
    "target": "target",
    "destination": "target",
    "dst": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "rw": "writable",
    "tmpfs-size": "size",
}
_TRUE = {"", "true", "1"}
_FALSE = {"false", "0"}


def mounts(
    given: Iterable[Mount | str], *, tmpfs: Mapping[str, int | str | None] | Iterable[str]
) -> tuple[Mount, ...]:
    """Return what ``mounts`` and ``tmpfs`` name. Raises :class:`UsageError`."""
    for name, value in (("mounts", given), ("tmpfs", tmpfs)):
        if isinstance(value, str | Mount):
            raise UsageError(f"{name}: write a list, such as [{value!r}]")
    found = [parse_mount(mount) if isinstance(mount, str) else mount for mount in given]
    if isinstance(tmpfs, Mapping):
        return (*found, *(_tmpfs(target, size=size) for target, size in tmpfs.items()))
    return (*found, *(parse_tmpfs(text) for text in tmpfs))


def parse_mount(text: str) -> Mount:
    """Read ``/host:/target[:ro|rw]``, or ``type=bind,source=/host,target=/target[,rw]``.

    Docker's notation, but read-only unless it says ``rw`` (or ``readonly=false``): a function
    writes to the host only where it was told to. A path of the host may start with ``.`` or
    ``~``. Raises :class:`UsageError`.
    """
    if "=" in text.partition(",")[0]:
        return _from_fields(text)
    parts = text.split(":")
    if len(parts) not in {2, 3}:
        raise UsageError(f"mounts: {text!r} must be /host:/target, and :rw after it perhaps")
    mode = parts[2] if len(parts) == 3 else "ro"
    if mode not in {"ro", "rw"}:
        raise UsageError(f"mounts: {text!r} ends in {mode!r}, where only ro and rw can stand")
    return _bind(parts[0], target=parts[1], read_only=mode == "ro")


def parse_tmpfs(text: str) -> Mount:
    """Read ``/target`` or ``/target:size=64m``. Raises :class:`UsageError`."""
    target, _, options = text.partition(":")
    size: str | None = None
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name == "size":
            size = value
        elif option not in {"rw", "nosuid", "nodev"}:
            raise UsageError(f"tmpfs {text!r}: {name!r} cannot be set, only size")
    return _tmpfs(target, size=size)


def _from_fields(text: str) -> Mount:
    fields: dict[str, str] = {}
    for part in text.split(","):
        key, _, value = part.partition("=")
        if key not in _ALIASES:
            raise UsageError(f"mounts: {text!r} has {key!r}{nearest(key, _ALIASES)}")
        fields[_ALIASES[key]] = value
    target = fields.get("target", "")
    match fields.get("type", "bind"):
        case "bind" if "size" not in fields:
            return _bind(fields.get("source", ""), target=target, read_only=_read_only(fields))
        case "tmpfs" if not fields.keys() & {"source", "readonly", "writable"}:
            return _tmpfs(target, size=fields.get("size"))
        case "bind" | "tmpfs" as kind:
            raise UsageError(f"mounts: {text!r} says what a {kind} mount cannot have")
        case other:
            raise UsageError(f"mounts: {text!r} has type {other!r}; there is bind and tmpfs")


def _read_only(fields: Mapping[str, str]) -> bool:
    if "writable" in fields and "readonly" in fields:
        raise UsageError("mounts: say either readonly or rw, not both")
    if "writable" in fields:
        return not _truth(fields["writable"], name="rw")
    return _truth(fields.get("readonly", "true"), name="readonly")


def _truth(value: str, *, name: str) -> bool:
    if value not in _TRUE | _FALSE:
        raise UsageError(f"mounts: {name}={value!r}; write true or false")
    return value in _TRUE


def _bind(source: str, *, target: str, read_only: bool) -> Mount:
    if not source.startswith(("/", ".", "~")):
        raise UsageError(
            f"mounts: {source!r} is no path, and there are no named volumes; write ./{source}"
        )
    path = Path(source).expanduser().absolute()
    return Mount(target=_inside(target, "mounts"), source=str(path), read_only=read_only)


def _tmpfs(target: str, *, size: int | str | None) -> Mount:
    limit = None if size is None else parse_size(size, name=f"tmpfs {target!r}")
    return Mount(target=_inside(target, "tmpfs"), type="tmpfs", read_only=False, size=limit)


def _inside(target: str, name: str) -> str:
    if not target.startswith("/"):
        raise UsageError(f"{name}: {target!r} must be an absolute path inside of the container")
    return target
