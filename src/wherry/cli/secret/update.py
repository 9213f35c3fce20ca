"""``wherry secret update``: give a secret a new value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli.secret import value

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser


def parser() -> Parser:
    """Return the options and operands."""
    return value.parser_for("update", summary="Give a secret a new value")


def main(args: argparse.Namespace) -> int:
    """Send it, and return the exit code."""
    return value.send(args, method="PUT")
