"""``wherry rm``: take functions from a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import ending, functions, gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.gateway_client import Gateway


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "rm",
        summary="Remove functions from a gateway",
        text="Calls that run end undisturbed. Images stay: those are `wherry image rm`.",
        examples=("wherry rm upper shout", "wherry rm -f stack.yaml"),
        operands=(Operand("FUNCTION", "its name", optional=True, many=True),),
    )
    made.value("-f", "--file", metavar="FILE", help="remove what a file declares")
    functions.declare_namespace(made)
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Remove them, print their names, and return the exit code: 2 when one was not there."""
    import asyncio

    names = [(name, args.namespace) for name in args.function]
    if args.file:
        names += _of_file(args)
    if not names:
        raise UsageError("FUNCTION is missing; name one, or give --file")
    return asyncio.run(_remove(gateway_client.gateway_of(args), names))


async def _remove(gateway: Gateway, names: list[tuple[str, str | None]]) -> int:
    code = 0
    for name, namespace in names:
        document = {"functionName": name, **({"namespace": namespace} if namespace else {})}
        try:
            await gateway.ask("DELETE", "/system/functions", document=document)
        except UsageError as error:
            standard.say(f"wherry rm: {error}")
            code = ending.USAGE
        else:
            standard.emit(f"{name}\n")
    return code


def _of_file(args: argparse.Namespace) -> list[tuple[str, str | None]]:
    from pathlib import Path

    from wherry.functions.files import read_declaration

    declared = read_declaration(Path(args.file)).deployments
    # A pipe goes before what it is made of.
    ordered = sorted(declared, key=lambda found: found.pipe is None)
    return [(found.service, args.namespace or found.namespace) for found in ordered]
