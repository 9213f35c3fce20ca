"""``wherry schedule rm``: remove schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.schedule import path

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "schedule rm",
        summary="Remove schedules",
        text="With their history. What a file declares is removed there.",
        operands=(Operand("NAME", "a schedule", many=True),),
    )
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Do it, print their names, and return the exit code."""
    for name in args.name:
        gateway_client.ask(args, f"DELETE {path.of(name)}")
        standard.emit(f"{name}\n")
    return 0
