"""Which shared libraries a program of this machine loads: what ld.so would find, and where.

Source: ld.so(8), "Dynamic string tokens" and the search order; ld.so.cache's format as glibc
has it since 2.2; musl's search path as its manual states it. The environment is not asked:
LD_LIBRARY_PATH does not come along into an image.
"""

# Paths are text here: pathlib would tidy what has to stay as it is.
# ruff: noqa: PTH113, PTH116, PTH118, PTH119, PTH120, PTH123
from __future__ import annotations

import os
import struct
from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from wherry.errors import ImageError
from wherry.images.elf import Elf, read_elf

_CACHE = "/etc/ld.so.cache"
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_MULTIARCH = {
    3: "i386-linux-gnu",
    21: "powerpc64le-linux-gnu",
    22: "s390x-linux-gnu",
    40: "arm-linux-gnueabihf",
    62: "x86_64-linux-gnu",
    183: "aarch64-linux-gnu",
    243: "riscv64-linux-gnu",
}
_LOADED_LATER = {
    b"pthread_cancel": "libgcc_s.so.1",
    b"pthread_exit": "libgcc_s.so.1",
    b"getpwnam": "libnss_files.so.2",
    b"getpwuid": "libnss_files.so.2",
    b"getgrgid": "libnss_files.so.2",
    b"getaddrinfo": "libnss_dns.so.2",
}
"""Libraries that glibc itself loads when a function is called; which not every version has."""


@dataclass(frozen=True, slots=True)
class Library:
    """A shared library where ld.so finds it."""

    name: str
    path: str
    by_cache: bool
    """Found by ld.so.cache alone, in a directory that ld.so does not search by itself."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    path: str
    elf: Elf
    rpath: tuple[str, ...]
    """The RPATH of what loaded this, and of what loaded that, and so on."""


def libraries(path: str, *, must: bool = True) -> list[Library]:
    """Return the libraries of a program or library, the interpreter first.

    Empty for what is no ELF file, and for a static program. Raises :class:`ImageError` for a
    library that this machine lacks, unless ``must`` is false.
    """
    elf = read_elf(path)
    if elf is None:
        return []
    found: dict[str, Library] = {}
    if elf.interpreter:
        found[os.path.basename(elf.interpreter)] = Library(
            os.path.basename(elf.interpreter), elf.interpreter, by_cache=False
        )
    search = _Search(elf)
    pending = deque([_Loaded(os.path.realpath(path), elf, ())])
    while pending:
        user = pending.popleft()
        for name, required in _wanted(user.elf, is_glibc=search.is_glibc):
            if name in found or search.is_built_in(name):
                continue
            library = search.find(name, user)
            if library is None:
                if must and required:
                    raise ImageError(f"{path!r} needs {name!r}, which is not on this machine")
                continue
            found[name] = library
            needs = read_elf(library.path)
            if needs is not None:
                pending.append(_Loaded(library.path, needs, search.inherited(user)))
    return list(found.values())


def _wanted(elf: Elf, *, is_glibc: bool) -> list[tuple[str, bool]]:
    """Return the names of libraries, and whether it cannot start without."""
    later = []
    if is_glibc and "libc.so.6" in elf.needed:
        mentioned = [name for symbol, name in _LOADED_LATER.items() if symbol in elf.strings]
        later = [(name, False) for name in dict.fromkeys(mentioned)]
    return [*((name, True) for name in elf.needed), *later]


class _Search:
    """Where the interpreter of one program looks for libraries."""

    def __init__(self, elf: Elf) -> None:
        self._elf = elf
        interpreter = elf.interpreter or ""
        self._is_musl = "ld-musl" in interpreter
        self.is_glibc = not self._is_musl
        self._multiarch = _MULTIARCH.get(elf.kind[2], "")
        self._standard = (
            _musl_directories(interpreter) if self._is_musl else _glibc_directories(self._multiarch)
        )

    def is_built_in(self, name: str) -> bool:
        """Whether the interpreter is that library itself, as musl's is."""
        return self._is_musl and name.partition(".")[0] in {
            "libc", "libpthread", "librt", "libm", "libdl", "libutil", "libxnet",
        }  # fmt: skip

    def inherited(self, user: _Loaded) -> tuple[str, ...]:
        """Return the RPATHs that count for what this object loads."""
        own = () if user.elf.runpath else self._expand(user.elf.rpath, user.path)
        return (*own, *user.rpath)

    def find(self, name: str, user: _Loaded) -> Library | None:
        """Find a library as ld.so would: RPATHs, RUNPATH, the cache, the standard places."""
        if "/" in name:
            path = os.path.join(os.path.dirname(user.path), name)
            return Library(name, path, by_cache=False) if self._fits(path) else None
        before = () if user.elf.runpath and not self._is_musl else self.inherited(user)
        own = self._expand(user.elf.runpath, user.path)
        for directory in (*before, *own):
            if self._fits(path := os.path.join(directory, name)):
                return Library(name, path, by_cache=False)
        for path in () if self._is_musl else _cached(_changed(_CACHE)).get(name, ()):
            if self._fits(path):
                away = os.path.dirname(path) not in self._standard
                return Library(name, path, by_cache=away)
        for directory in self._standard:
            if self._fits(path := os.path.join(directory, name)):
                return Library(name, path, by_cache=False)
        return None

    def _fits(self, path: str) -> bool:
        """Whether it is a library for the same machine."""
        if not os.path.isfile(path):
            return False
        elf = read_elf(path)
        return elf is not None and elf.kind == self._elf.kind

    def _expand(self, directories: tuple[str, ...], user: str) -> tuple[str, ...]:
        """Replace the tokens of ld.so(8)."""
        found = []
        for directory in directories:
            for lib in ("lib64", "lib", f"lib/{self._multiarch}"):
                text = directory.replace("${", "$").replace("}", "")
                text = text.replace("$ORIGIN", os.path.dirname(user)).replace("$LIB", lib)
                found.append(os.path.normpath(text))
        return tuple(dict.fromkeys(found))


def _glibc_directories(multiarch: str) -> tuple[str, ...]:
    places = [f"/lib/{multiarch}", f"/usr/lib/{multiarch}"] if multiarch else []
    return (*places, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/lib32", "/usr/lib32")


def _musl_directories(interpreter: str) -> tuple[str, ...]:
    name = os.path.basename(interpreter).removesuffix(".so.1")
    try:
        with open(f"/etc/{name}.path", encoding="utf-8") as file:
            return tuple(file.read().replace("\n", ":").strip(":").split(":"))
    except OSError:
        return ("/lib", "/usr/local/lib", "/usr/lib")


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _cached(changed: int) -> dict[str, list[str]]:
    """Return the paths that ld.so.cache has for each name, but for those of special CPUs."""
    try:
        with open(_CACHE, "rb") as file:
            data = file.read()
    except OSError:
        return {}
    start = data.find(_CACHE_MAGIC)
    if start < 0:
        return {}
    order = ">" if struct.pack("=H", 1) == b"\0\1" else "<"
    found: dict[str, list[str]] = {}
    try:
        (count,) = struct.unpack_from(f"{order}I", data, start + len(_CACHE_MAGIC))
        for at in range(start + 48, start + 48 + 24 * count, 24):
            _, key, value, _, capabilities = struct.unpack_from(f"{order}iIIIQ", data, at)
            if not capabilities:
                found.setdefault(_string(data, start + key), []).append(
                    _string(data, start + value)
                )
    except (struct.error, ValueError) as error:
        raise ImageError(f"{_CACHE} is broken: {error}; run ldconfig") from error
    return found


def _string(data: bytes, at: int) -> str:
    return os.fsdecode(data[at : data.index(b"\0", at)])
