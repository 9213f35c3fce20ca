"""``wherry namespace create``: make a namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import gateway_client
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "namespace create",
        summary="Make a namespace",
        examples=("wherry namespace create staging",),
        operands=(Operand("NAME", "letters, digits, - and _"),),
    )
    made.values("-l", "--label", metavar="NAME[=VALUE]", help="add a label")
    made.values("--annotation", metavar="NAME[=VALUE]", help="add an annotation")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Make it, and return the exit code."""
    from wherry.options.environment import labels

    document = {
        "name": args.name,
        # OpenFaaS's own tools list only namespaces with this label.
        "labels": {"openfaas": "1", **labels(args.label)},
        "annotations": dict(labels(args.annotation)),
    }
    gateway_client.ask(args, "POST /system/namespace/", document=document)
    return 0
