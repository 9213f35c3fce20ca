"""``wherry schedule run``: run a schedule now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.schedule import output, path

if TYPE_CHECKING:
    import argparse

_AT_ONCE = "30"
"""Seconds that a gateway lets one request wait."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "schedule run",
        summary="Run a schedule now",
        text="Beside its times, with its own overlap policy. The id of the run is printed; with "
        "--wait its output is, and the exit code is its own.",
        operands=(Operand("NAME", "a schedule"),),
    )
    made.flag("-w", "--wait", help="until it has ended, tries that fail included")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Run it, and return the exit code."""
    import asyncio

    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    gateway = gateway_client.gateway_of(args)
    run: dict[str, Any] = await gateway.ask("POST", path.of(args.name, "/run"))
    if not args.wait:
        standard.emit(f"{run['id']}\n")
        return 0
    while run["status"] in ("waiting", "running"):
        at = path.of(args.name, f"/runs/{run['id']}")
        run = await gateway.ask("GET", at, query={"wait": _AT_ONCE})
    return await output.show(gateway, args.name, run=run)
