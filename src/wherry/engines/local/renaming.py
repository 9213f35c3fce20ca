"""Giving a sandbox the id of its call, which it was made before.

The id stands in the command line of the sandbox's processes, where a reaper finds it (see
:mod:`wherry.engines.local.marker`). A command line lies on its process's stack, which a program
may change that sets its own title, and so may whoever is allowed to trace it
(process_vm_writev(2); proc(5), field 48 of ``stat``). This costs some microseconds.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from wherry.engines.local.marker import ID_ROOM

_BEFORE_ID = b'wherry-sandbox {"id":"'
_PLAIN = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)


class _Vector(ctypes.Structure):
    """``struct iovec``."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def place_of_id(pid: int, *, id: str) -> int | None:  # noqa: A002
    """Return the address of the id in the memory of a process of ours, None if it is not there."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    start = int(stat[stat.rindex(b")") + 2 :].split()[45])
    if not start or not line.startswith(_BEFORE_ID + _filled(id)):
        return None
    return start + len(_BEFORE_ID)


def rename(pids: Sequence[int], place: int, *, old: str, new: str) -> None:
    """Write another id to that place: of the process it was looked up in, and of its forks.

    Where the kernel forbids that, and for an id that does not fit into the other's place, the
    marker stays as it was: still ours, still reaped.
    """
    if max(len(old), len(new)) > ID_ROOM or not _PLAIN.fullmatch(new):
        return
    data = ctypes.create_string_buffer(_filled(new))
    ours = _Vector(ctypes.addressof(data), ID_ROOM + 1)
    theirs = _Vector(place, ID_ROOM + 1)
    for pid in pids:
        _libc().process_vm_writev(pid, ctypes.byref(ours), 1, ctypes.byref(theirs), 1, 0)


def _filled(id: str) -> bytes:  # noqa: A002
    """Return an id, the quote behind it, and the blanks that keep room for a longer one."""
    return f'{id}"'.encode().ljust(ID_ROOM + 1)


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    unsigned, vectors = ctypes.c_ulong, ctypes.POINTER(_Vector)
    libc.process_vm_writev.argtypes = [
        ctypes.c_int, vectors, unsigned, vectors, unsigned, unsigned,
    ]  # fmt: skip
    libc.process_vm_writev.restype = ctypes.c_ssize_t
    return libc
