"""What launcher.c does, for machines without a compiler: slower, otherwise the same.

Run as a program of its own (``python -I -S launcher.py …``), so that the namespaces it makes
are those of one sandbox; see launcher.c for the arguments and the order of the steps.
"""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 1, 2, 4, 8, 32, 4096
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_LIBC = ctypes.CDLL(None, use_errno=True)


def _die(what: str, reason: str) -> None:
    os.write(2, f"wherry-launcher: {what}: {reason}\n".encode())
    os._exit(125)


def _call(name: str, *args: object) -> None:
    if getattr(_LIBC, name)(*args) != 0:
        _die(name, os.strerror(ctypes.get_errno()))


def _die_with_parent(parent: int) -> None:
    _call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(125)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    os.write(fd, text.encode())
    os.close(fd)


def _become(uid: int, gid: int) -> None:
    if uid == -1:
        return
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)


def _close_other_descriptors(keep: str) -> None:
    next_fd = 3
    for fd in [] if keep == "-" else [int(word) for word in keep.split(",")]:
        os.closerange(next_fd, fd)
        os.set_inheritable(fd, True)
        next_fd = fd + 1
    os.closerange(next_fd, os.sysconf("SC_OPEN_MAX"))


def _bounded_scratch(scratch: str, size: str) -> None:
    uid, gid = os.getuid(), os.getgid()
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNS)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{uid} {uid} 1")
    _write("/proc/self/gid_map", f"{gid} {gid} 1")
    inodes = int(size) // 4096 + 1024
    options = f"size={size},nr_inodes={inodes},mode=0700".encode()
    _call("mount", b"wherry", os.fsencode(scratch), b"tmpfs", _MS_NODEV | _MS_NOSUID, options)
    os.chdir(scratch)
    os.umask(0)
    modes = {"upper": 0o755, "work": 0o755, "tmp": 0o1777, "run": 0o755, "shm": 0o1777}
    for name, mode in {**modes, "dev": 0o755, "empty": 0o555}.items():
        Path(name).mkdir(mode=mode)
    os.umask(0o022)
    _prepare_dev()
    os.chdir("/")


def _prepare_dev() -> None:
    _call("mount", b"dev", b"dev", None, _MS_BIND, None)
    os.chdir("dev")
    for name in ("null", "zero", "full", "random", "urandom", "tty"):
        Path(name).touch(mode=0o444, exist_ok=False)
        _call("mount", b"/dev/" + name.encode(), name.encode(), None, _MS_BIND, None)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path(name).symlink_to(f"/proc/self/fd/{number}")
    for name, target in {"fd": "/proc/self/fd", "core": "/proc/kcore", "ptmx": "pts/ptmx"}.items():
        Path(name).symlink_to(target)
    for name in ("shm", "pts"):
        Path(name).mkdir(mode=0o755)
    _call("mount", b"../shm", b"shm", None, _MS_BIND, None)
    options = b"newinstance,ptmxmode=0666,mode=620"
    _call("mount", b"devpts", b"pts", b"devpts", _MS_NOSUID | _MS_NOEXEC, options)
    flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV
    _call("mount", None, b".", None, flags, None)


def _write_protect(program: str) -> None:
    path = os.fsencode(program)
    _call("mount", path, path, None, _MS_BIND, None)
    locked = os.statvfs(program).f_flag & (_MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    _call("mount", None, path, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | locked, None)


def _limit(what: int, text: str) -> None:
    if text == "-":
        return
    _, hard = resource.getrlimit(what)
    most = int(text) if hard == resource.RLIM_INFINITY else min(int(text), hard)
    resource.setrlimit(what, (most, most))


def _main(marker: str, argv: list[str]) -> None:
    parent, uid, gid, scratch, size, processes, data, cgroups, keep, program, *args = argv
    _die_with_parent(int(parent))
    os.setsid()
    _write("/proc/self/oom_score_adj", "500")
    for path in [] if cgroups == "-" else cgroups.split("\n"):
        _write(path, "0")
    _become(int(uid), int(gid))
    _close_other_descriptors(keep)
    _bounded_scratch(scratch, size)
    _write_protect(program)
    _limit(resource.RLIMIT_CORE, "0")
    _limit(resource.RLIMIT_NOFILE, "65536")
    _limit(resource.RLIMIT_NPROC, processes)
    _limit(resource.RLIMIT_DATA, data)
    # Python ignores these (and no other signal); the program must not.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    _die_with_parent(int(parent))
    os.execv(program, [marker, *args])  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    try:
        _main(sys.argv[1], sys.argv[2:])
    except OSError as error:
        _die(str(error.filename or "launching"), error.strerror or str(error))
