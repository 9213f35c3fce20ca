"""``wherry image import``: make an image of a root file system."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cli import engines, standard
from wherry.cli.image import config_options
from wherry.cli.image.ls import familiar
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image import",
        summary="Make an image of a root file system in a tar file",
        examples=(
            "wherry image import --cmd sh rootfs.tar my/system",
            "mmdebstrap --variant=minbase stable | wherry image import - debian",
        ),
        operands=(
            Operand("FILE", "a tar file, compressed or not; - is stdin"),
            Operand("NAME", "what it is called from now on, NAME[:TAG]"),
        ),
    )
    config_options.declare(made)
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Import it, print its name, and return the exit code."""
    from wherry.images.rootfs_import import import_rootfs

    config = config_options.config_of(args)
    source = sys.stdin.buffer if args.file == "-" else Path(args.file)
    import_rootfs(engines.open_store(args), source, reference=args.name, config=config)
    standard.emit(f"{familiar(args.name)}\n")
    return 0
