"""``wherry calls cancel``: end calls that wait or run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import gateway_client, standard
from wherry.cli.calls import path
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "calls cancel",
        summary="End calls that wait or run",
        text="A call that runs ends soon: its container is killed. What it has written is kept.",
        operands=(Operand("CALL", "its id", many=True),),
    )
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Cancel them, print their ids, and return the exit code."""
    for call in args.call:
        gateway_client.ask(args, f"DELETE {path.of(call)}")
        standard.emit(f"{call}\n")
    return 0
