"""``wherry reap``: end what crashed callers have left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import engines, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "reap",
        summary="End what crashed callers have left behind",
        text="Every command that starts a container does this first; nothing of a caller that "
        "still runs is touched.",
    )
    made.flag("--json", help="print a JSON object")
    engines.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """End them, say which, and return the exit code."""
    engine = engines.open_local(args)
    reaped = engine.reap()
    engine.store.recover()
    if args.json:
        printing.show_json({"containers": list(reaped.containers), "cgroups": reaped.cgroups})
        return 0
    for identity in reaped.containers:
        standard.emit(f"{identity}\n")
    return 0
