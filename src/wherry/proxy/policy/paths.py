"""Paths in containers and on the host, as far as their text can tell."""

from __future__ import annotations

import posixpath

from wherry.proxy.policy.model import Denied, HostPath

_LONGEST = 4096
_KERNEL = ("/proc", "/sys", "/dev")


def clean(text: str, *, field: str, rule: str) -> str:
    """Return an absolute path without ``.``, ``..`` and doubled slashes; raises :class:`Denied`."""
    if len(text) > _LONGEST:
        raise Denied(400, f"{field}: {text[:60]!r}… has more than {_LONGEST} characters", rule=rule)
    if not text.startswith("/"):
        raise Denied(400, f"{field}: {text!r} must be an absolute path", rule=rule)
    if ".." in text.split("/") or any(ord(char) < 32 for char in text):
        raise Denied(400, f"{field}: {text!r} must be a path without '..' or control characters",
                     rule=rule)  # fmt: skip
    return posixpath.normpath("/" + text.lstrip("/"))


def check_working_dir(text: str, *, field: str, rule: str) -> str:
    """Return a working directory as it was given; empty is the image's.

    One below /proc is how CVE-2024-21626 left the container. Raises :class:`Denied`.
    """
    if text:
        path = clean(text, field=field, rule=rule)
        if _below(path, *_KERNEL):
            raise Denied(403, f"{field}: {text!r} may not be below /proc, /sys or /dev", rule=rule)
    return text


def check_target(text: str, *, field: str, rule: str) -> str:
    """Return where something is mounted in a container; raises :class:`Denied`."""
    path = clean(text, field=field, rule=rule)
    if path in ("/", "/dev") or _below(path, "/proc", "/sys"):
        raise Denied(403, f"{field}: nothing may be mounted at {text!r}", rule=rule)
    return path


def check_relative(text: str, *, field: str, rule: str) -> str:
    """Return a path below something; empty is all of it. Raises :class:`Denied`."""
    parts = text.split("/")
    if text and (text.startswith("/") or {"", ".", ".."} & set(parts)):
        raise Denied(400, f"{field}: {text!r} must be relative, without '.' and '..'", rule=rule)
    return text


def check_host(
    path: str, roots: tuple[HostPath, ...], *, writable: bool, closed: tuple[str, ...], field: str
) -> str:
    """Return a path of the host that may be mounted; raises :class:`Denied`.

    Below a root that is writable for a tenant only the root itself is allowed, also when it is in
    one that is not: what is below it can be exchanged for a link between this check and the mount.
    ``closed`` are directories that hold sockets; nothing that contains one or is in one can be
    mounted.
    """
    rule = "2.3 Binds"
    for other in closed:
        if _below(path, other) or _below(other, path):
            raise Denied(403, f"{field}: {path!r} holds the sockets of tenants", rule=rule)
    if any(root.writable and path != root.path and _below(path, root.path) for root in roots):
        raise Denied(403, f"{field}: {path!r} is below a directory that may be written, which can "
                     "be mounted as a whole only", rule=rule)  # fmt: skip
    around = [root for root in roots if _below(path, root.path)]
    if any(root.writable or not writable for root in around):
        return path
    if around:
        raise Denied(403, f"{field}: {path!r} may be mounted read-only; add :ro", rule=rule)
    open_to = ", ".join(root.path for root in roots) or "none; use a volume"
    raise Denied(403, f"{field}: {path!r} is not a directory of the host that may be mounted; "
                 f"there is {open_to}", rule=rule)  # fmt: skip


def _below(path: str, *roots: str) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)
