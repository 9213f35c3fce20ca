"""``wherry schedule import``: add the jobs of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.schedule import path
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "schedule import",
        summary="Add the jobs of a file, such as ofelia's",
        text="Once: later changes of the file are not followed, as those of `wherry serve "
        "--ofelia FILE` are. Nothing is added when anything in the file is wrong.",
        examples=("wherry schedule import ofelia.ini",),
        operands=(Operand("FILE", "ofelia's .ini, or wherry.toml"),),
    )
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Add them, print their names, and return the exit code."""
    from pathlib import Path

    import msgspec

    from wherry.triggers.cron.sources import read_file

    declared = read_file(Path(args.file))
    if declared.wrong:
        raise UsageError("\n".join(f"{args.file}: {said}" for said in declared.wrong.values()))
    for definition in declared.definitions:
        document = msgspec.to_builtins(definition)
        gateway_client.ask(args, f"POST {path.ALL}", document=document)
        standard.emit(f"{definition.name}\n")
    return 0
