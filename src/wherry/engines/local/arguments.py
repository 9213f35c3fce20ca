"""From a plan to bubblewrap's arguments: the whole wall, in the order it is built.

Everything but the program itself goes through ``--args FD``: a command line is readable by
every user of the host, an environment must not be.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.local import pipes
from wherry.engines.local.paths import is_below
from wherry.errors import UsageError
from wherry.models import File, Mount, Secret

if TYPE_CHECKING:
    from wherry.engines.local.plan import At, Plan

_MASKED_FILES = ("kcore", "keys", "key-users", "interrupts", "timer_list", "latency_stats",
                 "sched_debug", "sysrq-trigger", "kmsg")  # fmt: skip
_MASKED_DIRECTORIES = ("acpi", "asound", "scsi")
"""What Docker hides of /proc, by default, of what this kernel has."""
_BUT_ROOTS = 0o077
"""Permissions of anybody but a file's owner."""

_PAGES_OF_A_FILE = 1 << 16
"""Bytes that a file may take on a tmpfs beyond its own, where pages are large."""


@dataclass(slots=True)
class Descriptors:
    """Descriptors made for one start, closed again whatever comes."""

    numbers: list[int] = field(default_factory=list)

    def add(self, fd: int) -> str:
        """Take one over and return its number as an argument."""
        self.numbers.append(fd)
        return str(fd)

    def close(self) -> None:
        """Close ours; the sandbox has its own copies."""
        while self.numbers:
            os.close(self.numbers.pop())


def build(
    plan: Plan,
    env: Mapping[str, str],
    *,
    hostname: str,
    scratch: Path,
    resolv_conf: bytes | None,
    descriptors: Descriptors,
) -> list[str]:
    """Return the arguments up to the program; what they refer to is in ``descriptors``.

    Raises :class:`UsageError` for a source that cannot be read any more.
    """
    return [
        *_namespaces(plan, hostname),
        *_environment(env),
        *_root(plan, scratch),
        *_kernel(plan, scratch),
        *_directories(plan, scratch),
        *_mounts(plan.mounts),
        *_made(plan.mounted_directories),
        *_names(plan, hostname, resolv_conf, descriptors.add),
        *_files(plan, descriptors.add),
        *(["--remount-ro", "/"] if plan.function.read_only else []),
        "--chdir",
        plan.workdir,
    ]


def _namespaces(plan: Plan, hostname: str) -> list[str]:
    share = ["--share-net"] if plan.function.network == "host" else []
    return [
        *("--unshare-all", "--unshare-user", "--disable-userns", "--assert-userns-disabled"),
        *share,
        *("--new-session", "--die-with-parent", "--cap-drop", "ALL", "--clearenv"),
        *("--uid", str(plan.identity.uid), "--gid", str(plan.identity.gid)),
        *("--hostname", hostname),
    ]


def _environment(env: Mapping[str, str]) -> list[str]:
    words = []
    for name, value in env.items():
        words += ["--setenv", name, value]
    return words


def _root(plan: Plan, scratch: Path) -> list[str]:
    upper, work = str(scratch / "upper"), str(scratch / "work")
    return ["--overlay-src", str(plan.image.rootfs), "--overlay", upper, work, "/"]


def _kernel(plan: Plan, scratch: Path) -> list[str]:
    """Give it a /proc and a /dev of its own, both read-only, the devices aside.

    The launcher has put the /dev together, and made it read-only.
    """
    return [
        *("--proc", plan.proc),
        *_masks(plan.proc, scratch),
        *("--remount-ro", plan.proc),
        *("--dev-bind", str(scratch / "dev"), plan.dev),
    ]


@cache
def _masks(proc: str, scratch: Path) -> Sequence[str]:
    """Hide what tells of the host, and pid 1.

    Pid 1 is bubblewrap. While it sets the sandbox up, the links in its directory lead to the
    host: no path of an image may pass through them. For a moment after the program was
    started it still holds a descriptor of the host's /proc, of which ``..`` is the host's root.
    """
    empty = str(scratch / "empty")
    words = ["--ro-bind", empty, f"{proc}/1"]
    for name in filter(_is_open_to_others, _MASKED_FILES):
        words += ["--ro-bind", "/dev/null", f"{proc}/{name}"]
    for name in filter(_is_open_to_others, _MASKED_DIRECTORIES):
        words += ["--ro-bind", empty, f"{proc}/{name}"]
    return words


def _is_open_to_others(name: str) -> bool:
    """Whether there is such a name in /proc, and somebody else than root may use it.

    A sandbox is never root on the host (the engine refuses that), nor has it a capability over
    what root owns there: what
    the kernel keeps for root alone (kcore, kmsg, timer_list, sysrq-trigger) needs no mask.
    """
    try:
        found = Path("/proc", name).stat()
    except OSError:
        return False
    return found.st_uid != 0 or bool(found.st_mode & _BUT_ROOTS)


def _directories(plan: Plan, scratch: Path) -> list[str]:
    words = _made(plan.directories)
    for name, path in plan.writable:
        words += ["--bind", str(scratch / name), path]
    return words


def _made(directories: Sequence[str]) -> list[str]:
    words = []
    for path in directories:
        mode = "1777" if path == "/tmp" else "0755"  # noqa: S108 - the container's own
        words += ["--perms", mode, "--dir", path]
    return words


def _mounts(mounts: Sequence[At]) -> list[str]:
    words: list[str] = []
    for at in mounts:
        mount = at.what
        assert isinstance(mount, Mount)
        if mount.type == "tmpfs":
            size = ["--size", str(mount.size)] if mount.size else ["--size", str(64 << 20)]
            words += [*size, "--perms", "1777", "--tmpfs", at.path]
        else:
            source = _resolved(mount)
            words += ["--ro-bind" if mount.read_only else "--bind", source, at.path]
    return words


def _resolved(mount: Mount) -> str:
    try:
        return str(Path(mount.source or "").resolve(strict=True))
    except OSError as error:
        raise UsageError(
            f"mount on {mount.target!r}: source {mount.source!r} cannot be used: {error.strerror}"
        ) from error


def _names(
    plan: Plan, hostname: str, resolv_conf: bytes | None, give: Callable[[int], str]
) -> list[str]:
    """Write what a resolver reads: a copy of its own, so the program may change it."""
    hosts = f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 {hostname}\n"
    contents = {plan.hosts: hosts.encode(), plan.hostname_file: f"{hostname}\n".encode()}
    if resolv_conf is not None:
        contents[plan.resolv_conf] = resolv_conf
    taken = {at.path for at in (*plan.mounts, *plan.files)}
    words = []
    for path, data in contents.items():
        if path not in taken and not _is_covered(path, plan):
            fd = give(pipes.in_memory("names", data))
            words += ["--perms", "0644", "--file", fd, path]
    return words


def _is_covered(path: str, plan: Plan) -> bool:
    """Return whether a path lies in what is not the image's: on the host, or the kernel's."""
    binds = [at.path for at in plan.mounts if isinstance(at.what, Mount) and at.what.source]
    return any(is_below(path, place) for place in (*binds, plan.proc, plan.dev))


def _files(plan: Plan, give: Callable[[int], str]) -> list[str]:
    words: list[str] = []
    size = _PAGES_OF_A_FILE
    for at in plan.files:
        what = at.what
        if isinstance(what, File):
            source, data, mode = what.source, what.data, what.mode
        else:
            assert isinstance(what, Secret)
            source, data, mode = what.path, what.value, 0o400
        fd = _opened(at.path, source) if source else pipes.in_memory("file", data or b"")
        words += ["--perms", f"{mode:04o}", "--file", give(fd), at.path]
        if isinstance(what, Secret):
            size += os.fstat(fd).st_size + _PAGES_OF_A_FILE
    if plan.function.secrets:
        tmpfs = ["--size", str(size), "--perms", "0755", "--tmpfs", plan.secrets]
        words = [*tmpfs, *words, "--remount-ro", plan.secrets]
    return words


def _opened(path: str, source: str) -> int:
    try:
        fd = pipes.from_file(source)
    except OSError as error:
        raise UsageError(
            f"file {path!r}: source {source!r} cannot be read: {error.strerror}"
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UsageError(f"file {path!r}: source {source!r} is no regular file any more")
    return fd
