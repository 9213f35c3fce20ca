"""``wherry token ls``: list tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wherry.cli import printing
from wherry.cli.parsing import Parser
from wherry.cli.token import place

if TYPE_CHECKING:
    import argparse

    from wherry.triggers.http.tokens import Token


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser("token ls", summary="List tokens, and what they are good for")
    made.flag("--json", help="print a JSON array")
    place.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    tokens = place.open_tokens(args).list()
    if args.json:
        printing.show_json([_fields(token) for token in tokens])
        return 0
    now = time.time()
    rows = [
        [token.name, ",".join(token.scopes), f"{printing.age(now - token.created)} ago",
         _expiry(token, now)]
        for token in tokens
    ]  # fmt: skip
    printing.show_table(["NAME", "SCOPES", "CREATED", "EXPIRES"], rows)
    return 0


def _expiry(token: Token, now: float) -> str:
    if token.expires is None:
        return "never"
    return "expired" if token.expired(now) else f"in {printing.age(token.expires - now)}"


def _fields(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": list(token.scopes),
        "created": token.created,
        "expires": token.expires,
    }
