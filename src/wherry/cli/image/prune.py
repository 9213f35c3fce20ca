"""``wherry image prune``: remove what is not needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import engines, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image prune",
        summary="Remove what is not needed",
        text="Images without a name that nobody runs, content that belongs to no image, and what "
        "interrupted pulls have left.",
    )
    made.flag("-a", "--all", help="every image that nobody runs")
    made.flag("--json", help="print a JSON object")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Remove it, say what is gone, and return the exit code."""
    from wherry.units import format_size

    pruned = engines.open_store(args).prune(all=args.all)
    if args.json:
        printing.show_json(
            {
                "names": list(pruned.references),
                "images": list(pruned.images),
                "bytes": pruned.bytes,
                "kept_blobs": pruned.kept_blobs,
            }
        )
        return 0
    standard.emit("".join(f"untagged {name}\n" for name in pruned.references))
    standard.emit("".join(f"removed {identity}\n" for identity in pruned.images))
    standard.say(f"{format_size(pruned.bytes)} freed")
    if pruned.kept_blobs:
        standard.say("a pull is on its way; what it may need was left alone")
    return 0
