"""``wherry calls ls``: the calls of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import functions, gateway_client, printing, standard
from wherry.cli.calls import path
from wherry.cli.parsing import Parser
from wherry.errors import UsageError
from wherry.names import nearest

if TYPE_CHECKING:
    import argparse

_STATES = ("queued", "running", "done", "failed", "dead", "cancelled")
_PAGE = 500


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "calls ls",
        summary="List calls, the latest first",
        text="A call that somebody waited for is done or failed. A queued one that failed is "
        "tried again, and dead when that has not helped.",
        examples=("wherry calls ls --state dead", "wherry calls ls --function upper -l 1000"),
    )
    made.value("--state", metavar="|".join(_STATES), help="of this state only")
    made.value("--function", metavar="FUNCTION", help="of this function only")
    functions.declare_namespace(made)
    made.flag("--queued", help="only those that were queued, whatever became of them")
    made.value("-l", "--limit", metavar="NUMBER", help="at most so many; 50 by default")
    made.flag("-q", "--quiet", help="print ids only")
    made.flag("--json", help="print a JSON array")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    import asyncio

    found = asyncio.run(_calls(args))
    if args.json:
        printing.show_json(found)
    elif args.quiet:
        standard.emit("".join(f"{call['id']}\n" for call in found))
    else:
        heads = ["ID", "FUNCTION", "STATE", "STATUS", "TRIES", "TOOK", "AGE"]
        printing.show_table(heads, map(_row, found))
    return 0


async def _calls(args: argparse.Namespace) -> list[dict[str, Any]]:
    if args.state is not None and args.state not in _STATES:
        raise UsageError(f"--state: there is no {args.state!r}{nearest(args.state, _STATES)}")
    most = _limit(args.limit)
    gateway = gateway_client.gateway_of(args)
    found: list[dict[str, Any]] = []
    before: str | None = None
    while len(found) < most:
        page = await gateway.ask(
            "GET",
            path.ALL,
            query={
                "name": args.function,
                "namespace": args.namespace,
                "state": args.state,
                "trigger": "async" if args.queued else None,
                "before": before,
                "limit": str(min(_PAGE, most - len(found))),
            },
        )
        found += page
        if not page or page[-1]["number"] == 0:
            break
        before = str(page[-1]["number"])
    return found


def _limit(text: str | None) -> int:
    if text is None:
        return 50
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise UsageError(f"--limit: {text!r} must be a whole number above 0")
    return int(text)


def _row(call: dict[str, Any]) -> list[str]:
    took = call.get("durationSeconds")
    state = "cancelling" if call.get("cancelling") else call["state"]
    name = call["name"]
    if call["namespace"] != functions.DEFAULT_NAMESPACE:
        name = f"{name}.{call['namespace']}"
    return [
        call["id"],
        name,
        state,
        str(call.get("status", "-")),
        str(call["attempts"]),
        "-" if took is None else f"{took:.3f}s",
        printing.age(functions.seconds_since(call["createdAt"])),
    ]
