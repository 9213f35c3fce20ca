"""``Binds``, ``Mounts``, ``Tmpfs`` and ``VolumesFrom``: everything that shows files (2.3, F5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.proxy.policy import labels, names, paths
from wherry.proxy.policy.model import OWNER, Denied, Found, Kind, Named, Policy, TenantView
from wherry.units import parse_size

if TYPE_CHECKING:
    from wherry.proxy.policy.fields import Fields

_MODES = frozenset({"ro", "rw", "nocopy"})
_TMPFS_FLAGS = frozenset({"ro", "rw", "noexec", "exec", "nosuid", "nodev"})
_TMPFS_NUMBER = re.compile(r"(?:uid|gid)=[0-9]{1,10}|mode=[0-7]{1,4}", re.ASCII)
_RULE = "2.3 Mounts"


@dataclass(frozen=True, slots=True)
class Mount:
    """Something to be mounted, of one of the four types that are allowed."""

    type: str
    """``volume``, ``bind``, ``tmpfs`` or ``image``."""
    target: str
    source: str = ""
    """A volume's name without prefix, a path of the host, an image; empty: an anonymous volume."""
    read_only: bool = False
    no_copy: bool = False
    subpath: str = ""
    size: int = 0
    mode: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    where: str = ""

    @property
    def named(self) -> Named | None:
        """What has to be looked up for it."""
        kind = {"volume": Kind.VOLUME, "bind": Kind.HOST_PATH, "image": Kind.IMAGE}.get(self.type)
        return Named(kind, self.source, self.where) if kind and self.source else None

    def render(self, found: Found, tenant: TenantView) -> dict[str, object]:
        """Return the mount of a new body; raises :class:`Denied` for a path of the host."""
        body: dict[str, object] = {"Type": self.type, "Target": self.target}
        if self.read_only or self.type == "image":
            body["ReadOnly"] = True
        match self.type:
            case "volume":
                body |= self._volume(found, tenant)
            case "bind":
                body["Source"] = paths.check_host(
                    found.host_paths[self.source], tenant.policy.host_paths,
                    writable=not self.read_only, closed=tenant.closed_paths, field=self.where,
                )  # fmt: skip
                body["BindOptions"] = {"Propagation": "rprivate"}
            case "tmpfs":
                mode = {"Mode": self.mode} if self.mode else {}
                body["TmpfsOptions"] = {"SizeBytes": self.size, **mode}
            case _:
                body["Source"] = found.images[self.source].id
                if self.subpath:
                    body["ImageOptions"] = {"Subpath": self.subpath}
        return body

    def _volume(self, found: Found, tenant: TenantView) -> dict[str, object]:
        options: dict[str, object] = {}
        if not self.source:
            options["Labels"] = {**self.labels, OWNER: tenant.name}
        if self.no_copy:
            options["NoCopy"] = True
        if self.subpath:
            options["Subpath"] = self.subpath
        body: dict[str, object] = {"VolumeOptions": options} if options else {}
        return body | ({"Source": found.volumes[self.source]} if self.source else {})


@dataclass(frozen=True, slots=True)
class Files:
    """All that a container sees besides its image."""

    mounts: tuple[Mount, ...] = ()
    anonymous: tuple[str, ...] = ()
    """Paths of anonymous volumes that came with ``Binds``; they go into ``Config.Volumes``."""
    tmpfs: dict[str, str] = field(default_factory=dict)
    volumes_from: tuple[tuple[str, str], ...] = ()
    """Container and mode."""

    @property
    def references(self) -> Iterator[Named]:
        """All that has to be looked up."""
        yield from (mount.named for mount in self.mounts if mount.named)
        for text, _ in self.volumes_from:
            yield Named(Kind.CONTAINER, text, "HostConfig.VolumesFrom")

    def render(self, found: Found, tenant: TenantView) -> dict[str, object]:
        """Return the fields of a new HostConfig."""
        body: dict[str, object] = {}
        if self.mounts:
            body["Mounts"] = [mount.render(found, tenant) for mount in self.mounts]
        if self.tmpfs:
            body["Tmpfs"] = dict(self.tmpfs)
        if self.volumes_from:
            body["VolumesFrom"] = [
                f"{found.containers[text]}:{mode}" for text, mode in self.volumes_from
            ]
        return body


def parse(fields: Fields, policy: Policy) -> Files:
    """Read what mounts anything in a HostConfig; raises :class:`Denied`."""
    fields.choice("VolumeDriver", {"local"})
    binds = list(_binds(fields, policy))
    mounts = [_mount(each, policy) for each in fields.children("Mounts")]
    return Files(
        mounts=(*(each for each in binds if isinstance(each, Mount)), *mounts),
        anonymous=tuple(each for each in binds if isinstance(each, str)),
        tmpfs=_tmpfs(fields, policy),
        volumes_from=tuple(_volumes_from(fields)),
    )


def _binds(fields: Fields, policy: Policy) -> Iterator[Mount | str]:
    for text in fields.texts("Binds"):
        field, rule = fields.path("Binds"), "2.3 Binds"
        parts = text.split(":")
        if len(parts) > 3 or not all(parts):
            raise fields.denied("Binds", f"{text!r} must be SOURCE:TARGET or SOURCE:TARGET:MODE",
                                status=400)  # fmt: skip
        if len(parts) == 1:
            yield paths.check_target(text, field=field, rule=rule)
            continue
        modes = parts[2].split(",") if len(parts) == 3 else []
        if not set(modes) <= _MODES or len(set(modes)) < len(modes) or {"ro", "rw"} <= set(modes):
            fields.refuse("Binds", f"{text!r}: the mode may be ro, rw and nocopy; labels of the "
                          "host's files and propagation may not be changed")  # fmt: skip
        target = paths.check_target(parts[1], field=field, rule=rule)
        common = {"read_only": "ro" in modes, "where": field}
        if parts[0].startswith("/"):
            yield _host(parts[0], target, policy, field=field, read_only="ro" in modes)
        else:
            source = _volume_name(parts[0], field=field)
            yield Mount("volume", target, source, no_copy="nocopy" in modes,
                        read_only="ro" in modes, where=str(common["where"]))  # fmt: skip


def _mount(fields: Fields, policy: Policy) -> Mount:
    kind = fields.text("Type")
    source, where = fields.text("Source"), fields.path("Source")
    target = paths.check_target(fields.text("Target"), field=fields.path("Target"), rule=_RULE)
    read_only = fields.boolean("ReadOnly")
    fields.choice("Consistency", {"default", "consistent", "cached", "delegated"}, status=400)
    bind, volume, tmpfs = (fields.child(f"{each}Options") for each in ("Bind", "Volume", "Tmpfs"))
    image = fields.child("ImageOptions")
    fields.empty("ClusterOptions", why="there is no cluster")
    fields.done()
    _check_bind(bind)
    parts = _volume_parts(volume, policy)
    size, mode = _tmpfs_parts(tmpfs, policy)
    subpath = paths.check_relative(image.text("Subpath"), field=image.path("Subpath"), rule=_RULE)
    image.done()
    match kind:
        case "bind":
            return _host(source, target, policy, field=where, read_only=read_only)
        case "volume":
            name = _volume_name(source, field=where) if source else ""
            return Mount("volume", target, name, read_only=read_only, no_copy=parts.no_copy,
                         subpath=parts.subpath, labels=parts.labels, where=where)  # fmt: skip
        case "tmpfs":
            if source:
                raise fields.denied("Source", "a tmpfs has none", status=400)
            return Mount("tmpfs", target, read_only=read_only, size=size, mode=mode)
        case "image":
            names.check_image(source, field=where)
            return Mount("image", target, source, subpath=subpath, where=where)
    raise fields.denied("Type", f"{kind!r} is not allowed; volume, tmpfs, image and bind are")


def _host(source: str, target: str, policy: Policy, *, field: str, read_only: bool) -> Mount:
    path = paths.clean(source, field=field, rule="2.3 Binds")
    paths.check_host(path, policy.host_paths, writable=not read_only, closed=(), field=field)
    return Mount("bind", target, path, read_only=read_only, where=field)


def _check_bind(fields: Fields) -> None:
    fields.choice("Propagation", {"rprivate", "private"})
    fields.boolean("NonRecursive")
    fields.empty("CreateMountpoint", why="would make a directory on the host")
    fields.boolean("ReadOnlyNonRecursive")
    fields.boolean("ReadOnlyForceRecursive")
    fields.done()


def _volume_parts(fields: Fields, policy: Policy) -> Mount:
    driver = fields.child("DriverConfig")
    driver.choice("Name", {"local"})
    driver.empty("Options", why="mounts anything of the host (F5); leave them out")
    driver.done()
    given = labels.check(fields.pairs("Labels"), policy, field=fields.path("Labels"))
    subpath = fields.text("Subpath")
    paths.check_relative(subpath, field=fields.path("Subpath"), rule=_RULE)
    no_copy = fields.boolean("NoCopy")
    fields.done()
    return Mount("volume", "", no_copy=no_copy, subpath=subpath, labels=given)


def _tmpfs_parts(fields: Fields, policy: Policy) -> tuple[int, int]:
    most = policy.limits.tmpfs
    size = fields.integer("SizeBytes", least=0)
    mode = fields.integer("Mode", least=0, most=0o1777)
    fields.empty("Options", why="is not offered; give SizeBytes and Mode")
    fields.done()
    return min(size or most, most), mode


def _tmpfs(fields: Fields, policy: Policy) -> dict[str, str]:
    found = {}
    for target, text in fields.pairs("Tmpfs").items():
        where = fields.path("Tmpfs")
        path = paths.check_target(target, field=where, rule="2.3 Tmpfs")
        size, kept = policy.limits.tmpfs, []
        for option in filter(None, text.split(",")):
            if option.startswith("size="):
                size = min(_size(option[5:], field=where) or size, size)
            elif option in _TMPFS_FLAGS or _TMPFS_NUMBER.fullmatch(option):
                kept.append(option)
            else:
                fields.refuse("Tmpfs", f"the option {option!r} is not allowed; size, mode, uid, "
                              f"gid, {', '.join(sorted(_TMPFS_FLAGS))} are")  # fmt: skip
        found[path] = ",".join([*kept, f"size={size}"])
    return found


def _size(text: str, *, field: str) -> int:
    try:
        return parse_size(text, name=f"{field}: size")
    except UsageError as error:
        raise Denied(400, str(error), rule="2.3 Tmpfs") from error


def _volumes_from(fields: Fields) -> Iterator[tuple[str, str]]:
    for text in fields.texts("VolumesFrom"):
        container, _, mode = text.partition(":")
        if mode not in ("", "ro", "rw") or not names.is_name(container):
            raise fields.denied("VolumesFrom", f"{text!r} must be CONTAINER, CONTAINER:ro or "
                                "CONTAINER:rw", status=400)  # fmt: skip
        yield container, mode or "rw"


def _volume_name(text: str, *, field: str) -> str:
    if not names.is_name(text):
        raise Denied(400, f"{field}: {text!r} is neither an absolute path nor a volume's name",
                     rule=_RULE)  # fmt: skip
    return text
