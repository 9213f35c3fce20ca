"""``wherry image rm``: remove images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import ending, engines, printing, standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import ImageInUse, ImageNotFound

if TYPE_CHECKING:
    import argparse

    from wherry.images.store import Removed


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "image rm",
        summary="Remove images",
        text="By name, that name, and with its last name the image. One that a container runs "
        "from stays.",
        operands=(Operand("IMAGE", "a name, NAME@DIGEST, or the start of an id", many=True),),
    )
    made.flag("-f", "--force", help="by id, remove all of its names; no error when it is not here")
    made.flag("--json", help="print a JSON array")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Remove them, print what is gone, and return the exit code: 125 when one is still here."""
    store = engines.open_store(args)
    removed: list[Removed] = []
    code = 0
    for name in args.image:
        try:
            removed.append(store.remove(name, force=args.force))
        except (ImageNotFound, ImageInUse) as error:
            if not (args.force and isinstance(error, ImageNotFound)):
                standard.say(f"wherry image rm: {error}")
                code = ending.OUR_FAILURE
    if args.json:
        printing.show_json([_fields(one) for one in removed])
    else:
        for one in removed:
            standard.emit("".join(f"untagged {name}\n" for name in one.references))
            standard.emit("".join(f"removed {identity}\n" for identity in one.images))
    return code


def _fields(removed: Removed) -> dict[str, Any]:
    return {
        "names": list(removed.references),
        "images": list(removed.images),
        "bytes": removed.bytes,
    }
