"""``wherry image du``: what images take on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import engines, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser("image du", summary="Say what images take on the disk")
    made.flag("--json", help="print a JSON object, in bytes")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    from wherry.units import format_size

    store = engines.open_store(args)
    usage = store.usage()
    if args.json:
        names = ("images", "blobs", "shared", "rootfs", "partial", "total")
        printing.show_json({name: getattr(usage, name) for name in names})
        return 0
    rows = [
        ["images", str(usage.images)],
        ["unpacked", format_size(usage.rootfs)],
        ["layers as they came", format_size(usage.blobs)],
        ["  of which shared", format_size(usage.shared)],
        ["pulls under way", format_size(usage.partial)],
        ["together", format_size(usage.total)],
        ["in", str(store.root)],
    ]
    standard.emit(printing.table(rows))
    return 0
