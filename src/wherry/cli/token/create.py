"""``wherry token create``: make a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.token import place

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "token create",
        summary="Make a token and print it, once",
        text="What is kept is a hash, so nobody can show the token again. Scopes: admin is "
        "everything; deploy changes functions and secrets, sees everything and calls everything; "
        "read sees everything but the values of secrets; invoke:FUNCTION calls one function, "
        "invoke:*.NAMESPACE those of a namespace, invoke:* all.",
        examples=(
            "wherry token create ci --scope deploy --expires 30d",
            "wherry token create shop --scope invoke:resize --scope invoke:convert",
        ),
        operands=(Operand("NAME", "what it is called when it is listed and removed"),),
    )
    made.values("--scope", metavar="SCOPE", help="what it is good for; may be given several times")
    made.value("--expires", metavar="TIME", help="how long it is good, as in 30d; or for ever")
    place.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Make it, print it, and return the exit code."""
    from wherry.units import parse_duration

    lifetime = parse_duration(args.expires, name="--expires") if args.expires is not None else None
    secret = place.open_tokens(args).create(args.name, scopes=args.scope, lifetime=lifetime)
    standard.emit(f"{secret}\n")
    return 0
