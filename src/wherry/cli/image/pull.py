"""``wherry image pull``: fetch images from registries."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from wherry.cli import engines, printing, standard
from wherry.cli.image.ls import familiar, fields
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse

    from wherry.images.model import Image
    from wherry.images.progress import Progress


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image pull",
        summary="Fetch images from registries",
        text="Every byte is verified. What an interrupted pull has fetched is used by the next.",
        examples=("wherry image pull busybox", "wherry image pull --platform linux/arm64 debian"),
        operands=(Operand("IMAGE", "as docker names it", many=True),),
    )
    made.value("--platform", metavar="OS/ARCH", help="this machine's by default")
    made.flag("-q", "--quiet", help="show no progress, and print nothing")
    made.flag("--json", help="print a JSON array")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Pull them, and return the exit code."""
    import asyncio

    images = asyncio.run(_pull_all(args))
    if args.json:
        printing.show_json([fields(image) for image in images])
    elif not args.quiet:
        standard.emit("".join(f"{familiar(name)}\n" for name in args.image))
    return 0


async def _pull_all(args: argparse.Namespace) -> list[Image]:
    from wherry.images.pull import pull
    from wherry.images.reference import Reference

    engine = engines.open_local(args)
    images = []
    for reference in [Reference.parse(name) for name in args.image]:
        with _shown(reference.familiar, quiet=args.quiet) as progress:
            image = await pull(
                engine.store,
                reference,
                platform=args.platform,
                progress=progress,
                insecure=engine.settings.insecure_registries,
            )
        images.append(image)
    return images


def _shown(name: str, *, quiet: bool) -> AbstractContextManager[Progress | None]:
    return nullcontext() if quiet else engines.shown_on_stderr(name)
