"""``wherry calls logs``: what a call wrote to stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import gateway_client, logs, standard
from wherry.cli.calls import path
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "calls logs",
        summary="Print what a call wrote to stderr",
        text="All tries of a queued call are here. When the function's log has given them up, the "
        "last part is printed that the call's own record has.",
        operands=(Operand("CALL", "its id"),),
    )
    made.flag("-f", "--follow", help="go on as more is written, until Ctrl-C")
    made.value("--tail", metavar="NUMBER", help="the last lines only")
    made.flag("-t", "--timestamps", help="begin each line with its time and call")
    made.flag("--json", help="print a JSON object per line")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    call: dict[str, Any] = gateway_client.ask(args, f"GET {path.of(args.call)}")
    query = {
        "name": call["name"],
        "namespace": call["namespace"],
        "instance": call["id"],
        "tail": logs.number(args.tail),
        "follow": "true" if args.follow else None,
    }
    printed = logs.show(args, query)
    if not printed and not args.json and call.get("stderr"):
        standard.emit(str(call["stderr"]))
    return 0
