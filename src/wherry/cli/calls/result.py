"""``wherry calls result``: what a queued call wrote to stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import gateway_client, invoking
from wherry.cli.calls import path
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse

_AT_ONCE = "30"
"""Seconds that a gateway lets one request wait."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "calls result",
        summary="Print what a queued call wrote to stdout",
        text="Results are kept for a limited time. That of a call which somebody waited for was "
        "the answer to them, and is not kept.",
        examples=("wherry calls result --wait 5f0c… > report.pdf",),
        operands=(Operand("CALL", "its id"),),
    )
    made.flag("-w", "--wait", help="until the call has ended, tries that fail included")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    import asyncio

    asyncio.run(_print(args))
    return 0


async def _print(args: argparse.Namespace) -> None:
    gateway = gateway_client.gateway_of(args)
    while args.wait:
        call = await gateway.ask("GET", path.of(args.call), query={"wait": _AT_ONCE})
        if call["state"] not in ("queued", "running"):
            break
    async with gateway.open("GET", path.of(args.call, "/result")) as answer:
        await answer.check()
        await invoking.relay(answer)
