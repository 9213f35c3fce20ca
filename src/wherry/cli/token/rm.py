"""``wherry token rm``: make tokens useless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import ending, standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.token import place
from wherry.errors import NotFound

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "token rm",
        summary="Make tokens useless at once",
        operands=(Operand("NAME", "of a token", many=True),),
    )
    place.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Remove them, print their names, and return the exit code: 125 when one does not exist."""
    tokens = place.open_tokens(args)
    code = 0
    for name in args.name:
        try:
            tokens.remove(name)
        except NotFound as error:
            standard.say(f"wherry token rm: {error}")
            code = ending.OUR_FAILURE
        else:
            standard.emit(f"{name}\n")
    return code
