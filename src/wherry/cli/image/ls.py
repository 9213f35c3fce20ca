"""``wherry image ls``: list images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import engines, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse

    from wherry.images.model import Image


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser("image ls", summary="List images")
    made.flag("-q", "--quiet", help="print names only, or the id of an image without one")
    made.flag("--no-trunc", help="print whole ids")
    made.flag("--json", help="print a JSON array")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    from wherry.units import format_size

    images = engines.open_store(args).list()
    if args.json:
        printing.show_json([fields(image) for image in images])
        return 0
    if args.quiet:
        standard.emit("".join(f"{name}\n" for image in images for name in names(image)))
        return 0
    rows = [
        [name, image.id if args.no_trunc else printing.short_id(image.id), format_size(image.size)]
        for image in images
        for name in (names(image) if image.references else ["<none>"])
    ]
    printing.show_table(["NAME", "ID", "SIZE"], rows)
    return 0


def names(image: Image) -> list[str]:
    """Return what an image is called, as short as docker has it; its id without a name."""
    return [familiar(name) for name in image.references] or [printing.short_id(image.id)]


def familiar(name: str) -> str:
    """Return the shortest name that means the same image."""
    from wherry.images.reference import Reference

    return Reference.parse(name).familiar


def fields(image: Image) -> dict[str, Any]:
    """Return what a list says of an image."""
    return {
        "names": list(image.references),
        "id": image.id,
        "digest": image.digest,
        "size": image.size,
        "created": image.created,
    }
