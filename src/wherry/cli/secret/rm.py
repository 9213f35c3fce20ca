"""``wherry secret rm``: remove secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import functions, gateway_client, standard
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "secret rm",
        summary="Remove secrets",
        text="A function that names one cannot start until there is one of that name again.",
        operands=(Operand("SECRET", "its name", many=True),),
    )
    functions.declare_namespace(made)
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Remove them, print their names, and return the exit code."""
    for name in args.secret:
        document = {"name": name, **({"namespace": args.namespace} if args.namespace else {})}
        gateway_client.ask(args, "DELETE /system/secrets", document=document)
        standard.emit(f"{name}\n")
    return 0
