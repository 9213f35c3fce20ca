"""``wherry image inspect``: all that is known of images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import engines, printing
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image inspect",
        summary="Show all that is known of images, as JSON",
        text="A JSON array in the order of the arguments; `config` is the image's own, as the OCI "
        "image specification has it.",
        operands=(Operand("IMAGE", "a name, NAME@DIGEST, or the start of an id", many=True),),
    )
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    from wherry.cli.image.ls import fields

    store = engines.open_store(args)
    found = []
    for name in args.image:
        image = store.get(name)
        config = image.config.to_json()
        found.append(
            {
                **fields(image),
                "platform": {
                    key: config[key] for key in ("os", "architecture", "variant") if key in config
                },
                "config": config.get("config", {}),
                "layers": [layer.to_json() for layer in image.layers],
                "rootfs": str(image.rootfs),
            }
        )
    printing.show_json(found)
    return 0
