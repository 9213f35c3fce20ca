"""``wherry proxy ls``: tenants, and what they own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wherry.cli import printing
from wherry.cli.parsing import Parser
from wherry.cli.proxy import place

if TYPE_CHECKING:
    import argparse

    from wherry.proxy.tenants.snapshot import Kept


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "proxy ls",
        summary="List tenants, and what they own",
        text="Those of every proxy of this data directory, whether it runs or not.",
    )
    made.flag("--json", help="print a JSON array")
    made.section("Where")
    made.value("--data-dir", metavar="DIR", help="of tenants, as WHERRY_DATA_DIR")
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    from wherry.proxy.tenants.snapshot import kept_in

    found = [each for directory in place.places(args).all() for each in kept_in(directory)]
    if args.json:
        printing.show_json([_fields(each) for each in found])
        return 0
    heads = ["TENANT", "PROXY", "AGE", "CONTAINERS", "NETWORKS", "VOLUMES", "IMAGES"]
    printing.show_table(
        heads,
        [
            [
                each.tenant.name,
                "runs" if each.is_served else "stopped",
                printing.age(time.time() - each.tenant.created),
                *(str(each.counts[kind]) for kind in ("container", "network", "volume", "image")),
            ]
            for each in found
        ],
    )
    return 0


def _fields(kept: Kept) -> dict[str, Any]:
    tenant = kept.tenant
    return {
        "tenant": tenant.name,
        "parent": tenant.parent or None,
        "created": tenant.created,
        "expires": tenant.expires,
        "container": tenant.container or None,
        "running": kept.is_served,
        "objects": kept.counts,
    }
