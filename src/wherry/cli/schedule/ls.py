"""``wherry schedule ls``: the schedules of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import gateway_client, printing, standard
from wherry.cli.parsing import Parser
from wherry.cli.schedule import path

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "schedule ls",
        summary="List schedules, with their next run",
        text="What is wrong with files and labels that declare schedules goes to stderr. Secrets "
        "are not shown.",
    )
    made.flag("-q", "--quiet", help="print names only")
    made.flag("--json", help="print a JSON array")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    found = gateway_client.ask(args, f"GET {path.ALL}")
    schedules: list[dict[str, Any]] = found["schedules"]
    if args.json:
        printing.show_json(schedules)
    elif args.quiet:
        standard.emit("".join(f"{each['name']}\n" for each in schedules))
    else:
        heads = ["NAME", "WHEN", "ZONE", "WHAT", "NEXT", "SOURCE"]
        printing.show_table(heads, map(_row, schedules))
    for said in found["problems"].values():
        standard.say(said)
    return 0


def _row(schedule: dict[str, Any]) -> list[str]:
    definition = schedule["definition"]
    named = (definition.get(key) for key in ("function", "image", "container", "service"))
    what = next(filter(None, named), None)
    upcoming = "paused" if schedule["paused"] else schedule.get("nextAt", "-")
    return [
        schedule["name"],
        definition["schedule"],
        definition.get("timezone", "UTC"),
        f"{definition.get('kind', 'function')} {what or ' '.join(definition.get('command', ()))}",
        upcoming,
        schedule["source"],
    ]
