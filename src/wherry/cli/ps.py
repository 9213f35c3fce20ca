"""``wherry ps``: the containers that run now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import engines, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse

    from wherry.engines.local.reaping import Running


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "ps",
        summary="List the containers that run now",
        text="Those of the local engine and of this user, whoever called them; the oldest first.",
    )
    made.flag("-q", "--quiet", help="print ids only")
    made.flag("--no-trunc", help="print whole ids")
    made.flag("--json", help="print a JSON array")
    engines.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    from wherry.engines.local import reaping

    found = engines.open_local(args).running()
    width = None if args.no_trunc else 12
    if args.json:
        printing.show_json([_fields(container) for container in found])
    elif args.quiet:
        standard.emit("".join(f"{container.marker.id[:width]}\n" for container in found))
    else:
        rows = [
            [
                container.marker.id[:width],
                container.marker.image,
                container.marker.function,
                printing.age(reaping.age(container)),
                "orphan" if container.is_orphan else str(container.marker.owner.pid),
            ]
            for container in found
        ]
        printing.show_table(["ID", "IMAGE", "NAME", "AGE", "CALLER"], rows)
    return 0


def _fields(container: Running) -> dict[str, Any]:
    marker = container.marker
    return {
        "id": marker.id,
        "image": marker.image,
        "name": marker.function,
        "labels": dict(marker.labels),
        "started": container.started,
        "uid": container.uid,
        "pids": list(container.pids),
        "caller": marker.owner.pid,
        "orphan": container.is_orphan,
    }
