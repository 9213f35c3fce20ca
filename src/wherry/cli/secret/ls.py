"""``wherry secret ls``: list secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import functions, gateway_client, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser("secret ls", summary="List secrets, by name alone")
    functions.declare_namespace(made)
    made.flag("--json", help="print a JSON array")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    found = gateway_client.ask(args, "GET /system/secrets", query={"namespace": args.namespace})
    if args.json:
        printing.show_json(found)
    else:
        standard.emit("".join(f"{printing.printable(secret['name'])}\n" for secret in found))
    return 0
