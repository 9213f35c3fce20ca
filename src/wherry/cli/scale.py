"""``wherry scale``: how many containers of a function are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import functions, gateway_client
from wherry.cli.gateway_client import segment
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "scale",
        summary="Say how many containers of a function are to be ready",
        text="With 0, none waits and each call makes its own: it takes longer, and works.",
        examples=("wherry scale upper 4", "wherry scale upper 0"),
        operands=(Operand("FUNCTION", "its name"), Operand("NUMBER", "from 0")),
    )
    functions.declare_namespace(made)
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Say it, and return the exit code."""
    if not (args.number.isascii() and args.number.isdigit()):
        raise UsageError(f"NUMBER: {args.number!r} must be a whole number from 0")
    gateway_client.ask(
        args,
        f"POST /system/scale-function/{segment(args.function)}",
        query={"namespace": args.namespace},
        document={"replicas": int(args.number)},
    )
    return 0
