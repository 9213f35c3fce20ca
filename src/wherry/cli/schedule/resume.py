"""``wherry schedule resume``: let paused schedules run again."""

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
        "schedule resume",
        summary="Let paused schedules run again",
        text="From their next time on.",
        operands=(Operand("NAME", "a schedule", many=True),),
    )
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Do it, print their names, and return the exit code."""
    for name in args.name:
        gateway_client.ask(args, f"POST {path.of(name, '/resume')}")
        standard.emit(f"{name}\n")
    return 0
