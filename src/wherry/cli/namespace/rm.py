"""``wherry namespace rm``: remove namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import gateway_client, standard
from wherry.cli.gateway_client import segment
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "namespace rm",
        summary="Remove namespaces that are empty",
        operands=(Operand("NAMESPACE", "its name", many=True),),
    )
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Remove them, print their names, and return the exit code."""
    for name in args.namespace:
        gateway_client.ask(args, f"DELETE /system/namespace/{segment(name)}")
        standard.emit(f"{name}\n")
    return 0
