"""``wherry schedule history``: the runs of a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import gateway_client, printing, standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.schedule import output, path
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "schedule history",
        summary="List the runs of a schedule, or print the output of one",
        text="The latest run is the first. With the id of a RUN its output is printed, of which "
        "the last 10 MiB of each stream are kept, and the exit code is that of the run.",
        examples=("wherry schedule history nightly", "wherry schedule history nightly 5f0c…"),
        operands=(Operand("NAME", "a schedule"), Operand("RUN", "its id", optional=True)),
    )
    made.value("-l", "--limit", metavar="N", help="at most so many; 20")
    made.flag("-q", "--quiet", help="print ids only")
    made.flag("--json", help="print a JSON array")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    import asyncio

    if args.run is not None:
        return asyncio.run(_output(args))
    limit = args.limit or "20"
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= 1000):
        raise UsageError(f"--limit: {limit!r} must be a whole number from 1 to 1000")
    at = path.of(args.name, "/runs")
    found: list[dict[str, Any]] = gateway_client.ask(args, f"GET {at}", query={"limit": limit})
    if args.json:
        printing.show_json(found)
    elif args.quiet:
        standard.emit("".join(f"{run['id']}\n" for run in found))
    else:
        heads = ["SCHEDULED", "STATUS", "CODE", "TRIES", "TOOK", "CAUSE", "ID"]
        printing.show_table(heads, map(_row, found))
    return 0


async def _output(args: argparse.Namespace) -> int:
    gateway = gateway_client.gateway_of(args)
    at = path.of(args.name, f"/runs/{gateway_client.segment(args.run)}")
    run: dict[str, Any] = await gateway.ask("GET", at)
    if args.json:
        printing.show_json(run)
        return 0
    return await output.show(gateway, args.name, run=run)


def _row(run: dict[str, Any]) -> list[str]:
    took = run.get("durationSeconds")
    status = f"{run['status']}, {run['count']} times" if run["count"] > 1 else run["status"]
    return [
        run["scheduledAt"],
        status,
        str(run.get("exitCode", "-")),
        str(run["attempts"]),
        "-" if took is None else f"{took:.3f}s",
        run["cause"],
        run["id"],
    ]
