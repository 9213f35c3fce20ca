"""What is mounted where, and how files get in before the program starts.

An engine takes files (``PUT /containers/ID/archive``) only into a container that has not started
when they go to the image's writable layer or to a volume: a tmpfs is empty again at the start,
and a read-only root takes nothing. So secrets live in an anonymous volume at ``/run/secrets``,
which also works below a read-only root, and is removed with the container. They are on the
engine's disk while the call lasts, and nowhere in its configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from wherry.errors import Unsupported, UsageError
from wherry.models import File, Function, Mount

SECRETS = "/run/secrets"
_MORE_SECRETS = "/var/openfaas/secrets"
"""Where a deployed function has its secrets as well: files, which a read-only root cannot take."""
_WRITABLE = ("/tmp", "/run")  # noqa: S108 - inside the container
_TMPFS = "rw,exec,nosuid,nodev,mode=1777"
"""For everybody, but a directory that the image has keeps its mode: runc sees to that."""
_LEAST_TMP = 64 * 1024
_SHARE = 8
"""One part in eight of ``limits.tmp`` for /run, one for /dev/shm, the rest for /tmp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The mounts of one function."""

    mounts: tuple[Mount | str, ...] = ()
    """Binds, and the targets of anonymous volumes."""
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    shm_size: int | None = None
    root_size: int | None = None
    """Bytes that may be written to the image's layer; needs a storage driver that can count."""

    @classmethod
    def of(cls, function: Function) -> Layout:
        """Lay a function out; raises UsageError or Unsupported naming what cannot be."""
        binds = [mount for mount in function.mounts if mount.type == "bind"]
        tmpfs = {mount.target: _options(mount) for mount in function.mounts if mount not in binds}
        _check_mounts(function)
        volumes = [SECRETS] if function.secrets else []
        if function.read_only:
            if any(is_below(file.target, _MORE_SECRETS) for file in function.files):
                volumes.append(_MORE_SECRETS)
            scratch, kept = _scratch(function)
            tmpfs = {**scratch, **tmpfs}
            volumes += kept
        layout = cls(
            mounts=(*binds, *volumes),
            tmpfs=tmpfs,
            shm_size=_share(function) if function.read_only else None,
            root_size=None if function.read_only else function.limits.tmp,
        )
        layout._check_paths(function)
        return layout

    def base(self, path: str) -> str:
        """Return the volume a path is in, else ``/``: where an archive has to be sent."""
        volumes = [mount for mount in self.mounts if isinstance(mount, str)]
        return max((base for base in volumes if is_below(path, base)), key=len, default="/")

    def _check_paths(self, function: Function) -> None:
        binds = [mount.target for mount in self.mounts if isinstance(mount, Mount)]
        for file in function.files:
            _check_absolute("files", file.target)
            self._check_path("files", file.target, closed=(*binds, *self.tmpfs))
            if function.read_only and self.base(file.target) == "/":
                raise Unsupported(
                    f"files: {file.target!r} cannot be put into a read-only root file system by "
                    "this engine; use a path below /tmp or /run, or read_only=False"
                )
        for item in function.collect:
            _check_absolute("collect", item.path)
            self._check_path("collect", item.path, closed=tuple(self.tmpfs))

    def _check_path(self, name: str, path: str, *, closed: Iterable[str]) -> None:
        for target in closed:
            if is_below(path, target) and len(self.base(path)) < len(target):
                raise Unsupported(
                    f"{name}: {path!r} is inside the mount {target!r}, where this engine cannot "
                    "copy files; mount a directory of the host and use it from there"
                )


def is_below(path: str, base: str) -> bool:
    """Whether a path is ``base`` or something in it."""
    return PurePosixPath(path).is_relative_to(base)


def secret_target(name: str) -> str:
    """Return where a secret is found; raises UsageError for a name that is no file name."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise UsageError(f"secrets: {name!r} must be a plain file name")
    return f"{SECRETS}/{name}"


def files_of(function: Function) -> tuple[File, ...]:
    """Return everything that is put into the container, secrets included.

    Every user of the container can read its secrets, as with Docker's own: it runs one program.
    """
    secrets = (
        File(target=secret_target(secret.name), source=secret.path, data=secret.value, mode=0o444)
        for secret in function.secrets
    )
    return (*function.files, *secrets)


def _scratch(function: Function) -> tuple[dict[str, str], list[str]]:
    """Keep /tmp and /run writable: a tmpfs, or a volume where files go in or come out."""
    copied = [file.target for file in function.files] + [item.path for item in function.collect]
    mounted = {mount.target for mount in function.mounts}
    free = [path for path in _WRITABLE if path not in mounted]
    volumes = [path for path in free if any(is_below(item, path) for item in copied)]
    if volumes and function.limits.tmp is not None:
        raise Unsupported(
            f"limits.tmp: this engine cannot bound {volumes[0]} when files are copied in or out"
        )
    return {path: _sized(path, function) for path in free if path not in volumes}, volumes


def _sized(path: str, function: Function) -> str:
    limit, share = function.limits.tmp, _share(function)
    if limit is None or share is None:
        return _TMPFS
    return f"{_TMPFS},size={share if path == '/run' else limit - 2 * share}"


def _share(function: Function) -> int | None:
    return None if function.limits.tmp is None else function.limits.tmp // _SHARE


def _options(mount: Mount) -> str:
    return _TMPFS if mount.size is None else f"{_TMPFS},size={mount.size}"


def _check_mounts(function: Function) -> None:
    tmp = function.limits.tmp
    if tmp is not None and tmp < _LEAST_TMP:
        raise UsageError(f"limits.tmp {tmp} must be at least {_LEAST_TMP} bytes")
    for mount in function.mounts:
        _check_absolute("mounts: target", mount.target)
        if mount.type == "bind":
            if not mount.source:
                raise UsageError(f"mounts: {mount.target!r} needs a source, or type='tmpfs'")
            _check_absolute("mounts: source", mount.source)
        elif mount.size is not None and mount.size < 1:
            raise UsageError(f"mounts: size {mount.size} of {mount.target!r} must be at least 1")
        elif mount.source:
            raise UsageError(f"mounts: {mount.target!r} is a tmpfs and can have no source")
    for secret in function.secrets:
        secret_target(secret.name)
    for file in files_of(function):
        if (file.source is None) == (file.data is None):
            raise UsageError(f"{file.target!r} needs either a path on the host or its data")


def _check_absolute(name: str, path: str) -> None:
    if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UsageError(f"{name} {path!r} must be an absolute path without '..'")
    if PurePosixPath(path) == PurePosixPath("/"):
        raise UsageError(f"{name} {path!r} must not be the root directory")
