"""``wherry version``: what runs here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._version import __version__
from wherry.cli import printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser("version", summary="Show the version of wherry and of what it uses")
    made.flag("--json", help="print a JSON object")
    return made


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    import platform

    found = {
        "wherry": __version__,
        "bubblewrap": _bubblewrap(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
    }
    if args.json:
        printing.show_json(found)
    else:
        standard.emit(printing.table([[name, text or "none"] for name, text in found.items()]))
    return 0


def _bubblewrap() -> str | None:
    from wherry.engines.local import bubblewrap
    from wherry.errors import EngineUnavailable

    try:
        return ".".join(map(str, bubblewrap.version(bubblewrap.find())))
    except EngineUnavailable:
        return None
