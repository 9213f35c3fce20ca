"""A cold call on an image of few files and on one of many."""

from __future__ import annotations

import asyncio
import io
import statistics
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.calls import COMMAND, cold, timed
from bench.figures import percentile
from tests.support.busybox import busybox

if TYPE_CHECKING:
    from bench.place import Place

FILES = (10, 100_000)
_IN_ONE_DIRECTORY = 100
_TURNS = 31
_WARM_UP = 3
_CALM = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """Calls of an image with so many files."""

    files: int
    importing: float
    """Seconds to import it from a tar file, once."""
    samples: tuple[float, ...]
    """Milliseconds."""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def p99(self) -> float:
        return percentile(self.samples, 99)


async def measure_images(place: Place, *, files: tuple[int, ...] = FILES) -> list[Sized]:
    """Import an image of each size, then call them in turns."""
    client = await place.client()
    importing = {count: await _imported(place, count) for count in files}
    calls = {count: cold(client, image=_name(count)) for count in files}
    samples: dict[int, list[float]] = {count: [] for count in files}
    for turn in range(_WARM_UP + _TURNS):
        for count, call in calls.items():
            await asyncio.sleep(_CALM)
            took = await timed(call)
            if turn >= _WARM_UP:
                samples[count].append(took)
    return [
        Sized(files=count, importing=importing[count], samples=tuple(samples[count]))
        for count in files
    ]


async def _imported(place: Place, count: int) -> float:
    from wherry.images.rootfs_import import import_rootfs

    engine = await place.engine()
    path = place.directory / f"{count}.tar"
    await asyncio.to_thread(write_tar, path, files=count)
    began = time.perf_counter()
    await asyncio.to_thread(import_rootfs, engine.store, path, reference=_name(count))
    took = time.perf_counter() - began
    path.unlink()
    return took


def _name(count: int) -> str:
    return f"files-{count}:latest"


def write_tar(path: Path, *, files: int) -> None:
    """Write a root file system of exactly so many files, of which one can be run."""
    with path.open("wb") as out, tarfile.open(fileobj=out, mode="w") as tar:
        program = busybox().read_bytes()
        tar.addfile(_entry("bin", directory=True))
        tar.addfile(_entry(f"bin/{COMMAND[0]}", size=len(program)), io.BytesIO(program))
        for number in range(files - 1):
            directory, place = divmod(number, _IN_ONE_DIRECTORY)
            if place == 0:
                tar.addfile(_entry(f"data/{directory}", directory=True))
            text = f"{number}\n".encode()
            tar.addfile(_entry(f"data/{directory}/{place}", size=len(text)), io.BytesIO(text))


def _entry(name: str, *, size: int = 0, directory: bool = False) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o755, size
    entry.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    return entry
