"""``wherry image load``: read images from an archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cli import engines, standard
from wherry.cli.image.ls import familiar, names
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.images.store import ImageStore

_STDIN = Path("/dev/stdin")
_CHUNK = 1 << 20


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image load",
        summary="Read images from an archive of docker's or an OCI one",
        text="What `docker save`, `podman save`, skopeo and `wherry image save` write, compressed "
        "or not, and OCI layout directories.",
        examples=("docker save my/tool | wherry image load", "wherry image load tool.tar"),
        operands=(
            Operand("FILE", "an archive or a directory; stdin when left out or -", optional=True),
        ),
    )
    made.value("--name", metavar="NAME[:TAG]", help="in place of the name it has there")
    made.value("--platform", metavar="OS/ARCH", help="this machine's by default")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Load them, print their names, and return the exit code."""
    from wherry.images.archive import load

    store = engines.open_store(args)
    with _archive(args.file, store) as path:
        images = load(store, path, reference=args.name, platform=args.platform)
    if args.name is not None:
        standard.emit(f"{familiar(args.name)}\n")
    else:
        standard.emit("".join(f"{name}\n" for image in images for name in names(image)))
    return 0


@contextmanager
def _archive(file: str | None, store: ImageStore) -> Iterator[Path]:
    """Yield the archive's path; what comes through a pipe is kept in the store meanwhile."""
    if file not in (None, "-"):
        yield Path(file)
        return
    if os.isatty(standard.STDIN):
        raise UsageError("stdin is a terminal, and no archive; give FILE")
    if stat.S_ISREG(os.fstat(standard.STDIN).st_mode):
        yield _STDIN
        return
    with store.pulling(), store.blobs.create() as new:
        while data := os.read(standard.STDIN, _CHUNK):
            new.write(data)
        yield new.path
