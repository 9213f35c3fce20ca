"""``wherry proxy end``: remove everything that a tenant owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli.parsing import Operand, Parser
from wherry.cli.proxy import place

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "proxy end",
        summary="Remove everything that a tenant owns, and the tenant",
        text="Its proxy must not run: stop that first.",
        operands=(Operand("NAME", "of the tenant"),),
    )
    place.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Take it down, and return the exit code."""
    import asyncio

    from wherry.errors import NotFound
    from wherry.proxy.proxy import ProxyOptions
    from wherry.server.scoping import end_tenant

    directory = place.places(args).of(args.name)
    if not (directory / "registry.db").exists():
        raise NotFound(f"there is no tenant {args.name!r}; see `wherry proxy ls`")
    options = ProxyOptions(
        address=place.address(args), directory=directory, sockets=directory / "s"
    )
    asyncio.run(end_tenant(options, args.name))
    return 0
