"""Pulling an image from a registry and unpacking it, against the usual pair of tools."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.harness import MIB, Bound, Missing, Row, Sides
from tests.support.oci_layout import build_image, noise
from tests.support.registry import registry_server

if TYPE_CHECKING:
    from bench.place import Place

_LIBRARY = Path("/usr/lib/python3.11")
_LAYER = 16 * MIB


@asynccontextmanager
async def against_skopeo(place: Place) -> AsyncIterator[Sides]:
    from wherry.images.pull import pull
    from wherry.images.reference import Reference
    from wherry.images.store import ImageStore

    for program in ("docker-registry", "skopeo", "tar"):
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed")
    image = build_image(*real_files(), {"noise": noise(_LAYER)})
    fresh = (place.directory / f"pulled-{number}" for number in itertools.count())

    with registry_server(place.directory / "registry") as registry:
        name = registry.push(image, "bench/library:1", scratch=place.directory)

        async def ours() -> float:
            directory = next(fresh)
            began = time.perf_counter()
            await pull(ImageStore(directory), Reference.parse(name))
            took = time.perf_counter() - began
            shutil.rmtree(directory)
            return took * 1000

        async def theirs() -> float:
            directory = next(fresh)
            began = time.perf_counter()
            await asyncio.to_thread(copy_and_unpack, name, directory)
            took = time.perf_counter() - began
            shutil.rmtree(directory)
            return took * 1000

        yield Sides(ours, theirs)


def real_files() -> Iterator[dict[str, bytes]]:
    """Yield layers of about 16 MiB each, of files as programs have them."""
    layer: dict[str, bytes] = {}
    size = 0
    for path in sorted(_LIBRARY.rglob("*")):
        if path.is_file() and not path.is_symlink():
            layer[str(path.relative_to("/"))] = path.read_bytes()
            size += path.stat().st_size
            if size > _LAYER:
                yield layer
                layer, size = {}, 0
    if layer:
        yield layer


def copy_and_unpack(name: str, directory: Path) -> None:
    blobs, rootfs = directory / "blobs", directory / "rootfs"
    rootfs.mkdir(parents=True)
    copy = ["skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false"]
    subprocess.run([*copy, f"docker://{name}", f"dir:{blobs}"], check=True)
    manifest = json.loads((blobs / "manifest.json").read_text())
    for layer in manifest["layers"]:
        file = blobs / layer["digest"].partition(":")[2]
        subprocess.run(["tar", "-xzf", file, "-C", rootfs], check=True)


ROWS = (
    Row(
        name="pull and unpack, 70 MB in 5 layers",
        competitor="skopeo copy, then tar",
        unit="ms",
        figure="ours/theirs",
        must=Bound("<=", 1.5),
        wanted=Bound("<=", 1),
        sides=against_skopeo,
        runs=7,
        warm_up=1,
    ),
)
