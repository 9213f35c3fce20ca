"""``wherry secret create``: keep a new secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli.secret import value

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser


def parser() -> Parser:
    """Return the options and operands."""
    return value.parser_for("create", summary="Keep a new secret")


def main(args: argparse.Namespace) -> int:
    """Send it, and return the exit code."""
    return value.send(args, method="POST")
