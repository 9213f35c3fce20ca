"""``wherry image from-host``: make an image of programs of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cli import engines, standard
from wherry.cli.image import config_options
from wherry.cli.image.ls import familiar
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image from-host",
        summary="Make an image of programs of this machine",
        text="Of the programs, the shared libraries that they need and the interpreters of "
        "scripts. Works offline, on any Linux. Without --cmd or --entrypoint the image runs the "
        "first program.",
        examples=(
            "wherry image from-host tools sh cat tr sort",
            'wherry image from-host --entrypoint "jq -c" my/jq jq',
        ),
        operands=(
            Operand("NAME", "what it is called from now on, NAME[:TAG]"),
            Operand("PROGRAM", "a name on PATH, or a path", optional=True, many=True),
        ),
    )
    made.section("Contents")
    made.values("--file", metavar="SOURCE:TARGET", help="add a file")
    made.values("--tree", metavar="DIR", help="add a directory in its own place")
    config_options.declare(made)
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Make it, print its name, and return the exit code."""
    from wherry.images.fromhost import from_host

    from_host(
        engines.open_store(args),
        args.name,
        programs=args.program,
        config=config_options.config_of(args),
        files=dict(_file(text) for text in args.file),
        trees=[Path(tree) for tree in args.tree],
    )
    standard.emit(f"{familiar(args.name)}\n")
    return 0


def _file(text: str) -> tuple[str, Path]:
    source, colon, target = text.rpartition(":/")
    if not source or not colon:
        raise UsageError(f"--file: {text!r} must be SOURCE:TARGET, TARGET an absolute path")
    return f"/{target}", Path(source)
