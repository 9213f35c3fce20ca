"""What one function becomes on this machine: every name resolved, every path made safe.

An image is data from a stranger: its symlinks may point anywhere. Bubblewrap sets a sandbox up
with the host still in reach, so no path it is given may contain a symlink of the image. All of
them are resolved here, inside the image, which nobody can change.
"""

from __future__ import annotations

import posixpath
import signal as signals
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.local.identity import Identity, resolve_user
from wherry.engines.local.paths import exists_inside, is_below, resolve_inside
from wherry.engines.local.placing import check_file, check_hostname, check_mount, check_name_file
from wherry.errors import ImageError, UsageError
from wherry.models import Collect, File, Function, Invocation, Mount, Secret

if TYPE_CHECKING:
    from wherry.images.model import Image

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECRETS = "/run/secrets"
_MANY_WORDS = 6000
_NAMES = {
    "hosts": "/etc/hosts",
    "resolv_conf": "/etc/resolv.conf",
    "hostname_file": "/etc/hostname",
}
_OURS = ("/proc", "/dev", "/sys", SECRETS)


@dataclass(frozen=True, slots=True)
class At:
    """Something that goes to a place inside, given as a path without symlinks."""

    path: str
    what: Mount | File | Secret | Collect


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A function, resolved against its image."""

    function: Function
    image: Image
    identity: Identity
    workdir: str
    proc: str
    dev: str
    secrets: str
    hosts: str
    resolv_conf: str
    hostname_file: str
    writable: tuple[tuple[str, str], ...]
    """(name in the scratch file system, path inside), bound there when the root is read-only."""
    directories: tuple[str, ...]
    """Made when the image lacks them: volumes, the working directory, /tmp."""
    mounted_directories: tuple[str, ...]
    """Made in what is mounted: the working directory in a tmpfs."""
    mounts: tuple[At, ...]
    files: tuple[At, ...]
    collect: tuple[At, ...]

    @property
    def stop_signal(self) -> int:
        """The signal that asks the program to stop: the function's, the image's, or SIGTERM."""
        for name in (self.function.stop_signal, self.image.config.stop_signal):
            if name:
                try:
                    return int(name) if name.isdecimal() else signals.Signals[name.upper()]
                except KeyError:
                    continue  # the function's was checked; what an image says may be anything
        return signals.SIGTERM

    def argv(self, invocation: Invocation) -> list[str]:
        """Put together what runs: entrypoint, then the call's command or the image's."""
        function, config = self.function, self.image.config
        entrypoint = config.entrypoint if function.entrypoint is None else function.entrypoint
        command = (*function.command, *invocation.args)
        if not command and function.entrypoint is None:
            command = config.cmd
        argv = [*entrypoint, *command]
        if not argv:
            raise UsageError(
                f"image {function.image!r} names no command of its own; give one, "
                f"as in `wherry run {function.image} PROGRAM`"
            )
        if any("\0" in word for word in argv):
            raise UsageError(f"arguments must not contain NUL bytes: {argv!r}")
        return [*function.around, *argv]

    def is_long(self, invocation: Invocation) -> bool:
        """Whether a call may have more words than bubblewrap takes: about 9000."""
        words = len(self.function.command) + len(invocation.args)
        variables = len(self.image.config.env) + len(self.function.env) + len(invocation.env)
        return words + 3 * variables > _MANY_WORDS

    def hostname(self, invocation: Invocation) -> str:
        """Return the name of this call's container."""
        return self.function.hostname or invocation.id[:12]

    def env(self, invocation: Invocation, hostname: str) -> Mapping[str, str]:
        """Return the program's whole environment; what is nearer to the call wins.

        PWD is bubblewrap's, which sets it whatever it is told.
        """
        env = {
            "PATH": PATH,
            "HOSTNAME": hostname,
            "HOME": self.identity.home,
            **self.image.config.env,
            **self.function.env,
            **invocation.env,
            "PWD": self.workdir,
        }
        for name, value in env.items():
            if not name or "=" in name or "\0" in name or "\0" in value:
                raise UsageError(f"env {name!r} must have a name without '=', and no NUL byte")
        return env


def make(function: Function, image: Image) -> Plan:
    """Resolve a function against its image; raises :class:`UsageError` naming what is wrong."""
    root = image.rootfs
    workdir = function.workdir or image.config.workdir or "/"
    _absolute("workdir", workdir)
    if function.hostname is not None:
        check_hostname(function.hostname)
    proc, dev = resolve_inside(root, "/proc"), resolve_inside(root, "/dev")
    binds = tuple(sorted(_mounts(function, root), key=lambda at: at.path.count("/")))
    directories = [resolve_inside(root, "/tmp")]  # noqa: S108 - the container's own
    directories += [resolve_inside(root, path) for path in (*image.config.volumes, workdir)]
    secrets = resolve_inside(root, SECRETS)
    writable = _writable(root) if function.read_only else ()
    _check_places(proc, dev, [*directories, secrets, *(path for _, path in writable)])
    names = {name: resolve_inside(root, path) for name, path in _NAMES.items()}
    files = tuple(_files(function, root, binds))
    for name, path in names.items():
        unwritten = name == "resolv_conf" and function.network == "none"
        if not unwritten and not any(is_below(path, at.path) for at in (*binds, *files)):
            check_name_file(path, root)
    return Plan(
        function=function,
        image=image,
        identity=resolve_user(function.user or image.config.user or "0", root),
        workdir=workdir,
        proc=proc,
        dev=dev,
        secrets=secrets,
        **names,
        writable=writable,
        directories=tuple(path for path in directories if not exists_inside(root, path)),
        mounted_directories=_in_tmpfs(resolve_inside(root, workdir), binds),
        mounts=binds,
        files=files,
        collect=tuple(_collected(function, root, binds)),
    )


def _writable(root: Path) -> tuple[tuple[str, str], ...]:
    return (("tmp", resolve_inside(root, "/tmp")), ("run", resolve_inside(root, "/run")))  # noqa: S108


def _in_tmpfs(path: str, mounts: tuple[At, ...]) -> tuple[str, ...]:
    """Return a path that lies in a tmpfs, where nothing is; none that a bind mount brings."""
    at = _innermost(path, mounts)
    is_tmpfs = at is not None and isinstance(at.what, Mount) and at.what.type == "tmpfs"
    return (path,) if is_tmpfs else ()


def _check_places(proc: str, dev: str, paths: list[str]) -> None:
    """Refuse an image that leads what we set up to where the kernel's own files are."""
    if "/" in (proc, dev) or is_below(proc, dev) or is_below(dev, proc):
        raise ImageError(
            f"the image's /proc leads to {proc!r} and its /dev to {dev!r}: these must be two "
            "directories of their own"
        )
    for path in paths:
        if path != proc and is_below(path, proc):
            raise ImageError(
                f"the image or its function leads to {path!r}, which is inside of /proc: "
                "no working directory, volume, /tmp, /run or secret can be there"
            )


def _mounts(function: Function, root: Path) -> list[At]:
    resolved: list[At] = []
    for mount in function.mounts:
        target = _target("mount", mount.target, root)
        if target == "/":
            raise UsageError("mount target '/' is the image's own; mount on a directory below it")
        if mount.type == "bind":
            _check_source(mount)
        elif mount.source is not None:
            raise UsageError(f"mount on {mount.target!r}: a tmpfs has no source")
        if any(at.path == target for at in resolved):
            raise UsageError(f"mount target {mount.target!r} is given twice")
        resolved.append(At(target, mount))
    for at in resolved:
        _check_nesting("mount", at.path, resolved, writes=False)
        if not any(is_below(at.path, other.path) for other in resolved if other is not at):
            assert isinstance(at.what, Mount)
            check_mount(at.what, target=at.path, root=root)
    return resolved


def _check_source(mount: Mount) -> None:
    if not mount.source or not mount.source.startswith("/"):
        raise UsageError(
            f"mount on {mount.target!r}: source {mount.source!r} must be an absolute path"
        )
    if "\0" in mount.source or not Path(mount.source).exists():
        raise UsageError(
            f"mount on {mount.target!r}: source {mount.source!r} does not exist on this machine"
        )
    if mount.size is not None:
        raise UsageError(f"mount on {mount.target!r}: size is for tmpfs mounts only")


def _files(function: Function, root: Path, binds: tuple[At, ...]) -> list[At]:
    files: list[At] = []
    for file in function.files:
        target = _target("file", file.target, root)
        _check_nesting("file", target, binds, writes=True)
        if (file.source is None) == (file.data is None):
            raise UsageError(f"file {file.target!r}: give either source or data")
        if file.source is not None and not _is_regular(file.source):
            raise UsageError(f"file {file.target!r}: source {file.source!r} is no regular file")
        if not 0 <= file.mode <= 0o7777:
            raise UsageError(
                f"file {file.target!r}: mode {file.mode:#o} is not between 0 and 0o7777"
            )
        if not any(is_below(target, at.path) for at in binds):
            check_file(target, root)
        files.append(At(target, file))
    for secret in function.secrets:
        if secret.name in ("", ".", "..") or set("/\0") & set(secret.name):
            raise UsageError(f"secret name {secret.name!r} must be a plain file name")
        if (secret.path is None) == (secret.value is None):
            raise UsageError(f"secret {secret.name!r}: give either path or value")
        if secret.path is not None and not _is_regular(secret.path):
            raise UsageError(f"secret {secret.name!r}: {secret.path!r} is no regular file")
        target = f"{resolve_inside(root, SECRETS)}/{secret.name}"
        _check_nesting("secret", target, binds, writes=True)
        files.append(At(target, secret))
    return files


def _collected(function: Function, root: Path, binds: tuple[At, ...]) -> list[At]:
    collected = []
    for collect in function.collect:
        target = _target("collect", collect.path, root)
        for at in binds:
            if is_below(target, at.path) or is_below(at.path, target):
                raise UsageError(
                    f"collect {collect.path!r}: {at.path!r} is a mount; what is written to a "
                    "bind mount is on the host already"
                )
        collected.append(At(target, collect))
    return collected


def _target(field: str, path: str, root: Path) -> str:
    _absolute(field, path)
    normal = posixpath.normpath(path)
    resolved = resolve_inside(root, normal)
    for ours in _OURS:
        place = resolve_inside(root, ours)
        if is_below(normal, ours) or is_below(resolved, ours) or is_below(resolved, place):
            raise UsageError(f"{field} {path!r}: {ours} belongs to the sandbox itself")
    return resolved


def _check_nesting(field: str, path: str, mounts: Sequence[At], *, writes: bool) -> None:
    """Refuse what would be written to, or follow a symlink of, another mount's source."""
    at = _innermost(path, [at for at in mounts if writes or at.path != path])
    if at is None or not isinstance(at.what, Mount):
        return
    if path == at.path:
        raise UsageError(f"{field} {path!r} is a mount as well")
    if at.what.type != "bind" or at.what.source is None:
        return
    if writes:
        raise UsageError(f"{field} {path!r} lies in the mount {at.path!r}: put it elsewhere")
    inner = Path(at.what.source)
    for part in posixpath.relpath(path, at.path).split("/"):
        inner /= part
        if inner.is_symlink() or not inner.exists():
            raise UsageError(
                f"{field} {path!r} lies in the mount {at.path!r}, where {str(inner)!r} "
                "must exist and be no symlink"
            )


def _innermost(path: str, mounts: Sequence[At]) -> At | None:
    """Return the mount that a path lies in."""
    around = [at for at in mounts if is_below(path, at.path)]
    return max(around, key=lambda at: len(at.path), default=None)


def _absolute(field: str, path: str) -> None:
    if not path.startswith("/") or "\0" in path:
        raise UsageError(f"{field} {path!r} must be an absolute path inside the container")


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):  # a NUL byte
        return False
