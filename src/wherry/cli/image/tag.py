"""``wherry image tag``: give an image one more name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import engines
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image tag",
        summary="Give an image one more name",
        operands=(
            Operand("IMAGE", "a name, NAME@DIGEST, or the start of an id"),
            Operand("NAME", "the new one, NAME[:TAG]; who had it before loses it"),
        ),
    )
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Name it, and return the exit code."""
    engines.open_store(args).tag(args.image, args.name)
    return 0
