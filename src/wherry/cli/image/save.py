"""``wherry image save``: write images to an archive."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cli import engines, standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image save",
        summary="Write images to an OCI archive",
        text="One that `docker load`, podman, skopeo and `wherry image load` read.",
        examples=(
            "wherry image save -o tool.tar my/tool",
            "wherry image save my/tool | docker load",
        ),
        operands=(Operand("IMAGE", "a name, NAME@DIGEST, or the start of an id", many=True),),
    )
    made.value("-o", "--output", metavar="FILE", help="stdout when left out or -")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Write it, and return the exit code."""
    from wherry.images import archive

    store = engines.open_store(args)
    if args.output not in (None, "-"):
        archive.save(store, args.image, path=Path(args.output))
        return 0
    if os.isatty(standard.STDOUT):
        raise UsageError("an archive is nothing for a terminal; give --output FILE, or a pipe")
    archive.write(store, args.image, file=sys.stdout.buffer)
    sys.stdout.buffer.flush()
    return 0
