"""``wherry calls retry``: queue dead or cancelled calls anew."""

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
        "calls retry",
        summary="Queue dead or cancelled calls anew",
        text="With the body that they had, and all their tries again.",
        operands=(Operand("CALL", "its id", many=True),),
    )
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Queue them, print their ids, and return the exit code."""
    for call in args.call:
        gateway_client.ask(args, f"POST {path.of(call, '/retry')}")
        standard.emit(f"{call}\n")
    return 0
