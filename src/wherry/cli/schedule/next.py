"""``wherry schedule next``: when something runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.schedule import path
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "schedule next",
        summary="Preview when something runs",
        text="NAME is a schedule of the gateway. With --spec it is not needed, and no gateway is "
        "asked.",
        examples=(
            "wherry schedule next nightly",
            "wherry schedule next --spec '30 2 * * *' --timezone Europe/Paris -c 10",
        ),
        operands=(Operand("NAME", "a schedule", optional=True),),
    )
    made.value("--spec", metavar="WHEN", help="what would stand in a schedule")
    made.value("--timezone", metavar="ZONE", help="of --spec; UTC")
    made.value("--after", metavar="TIME", help="of --spec: from then on, as 2026-03-28T12:00Z")
    made.value("-c", "--count", metavar="N", help="how many; 5")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, one a line, and return the exit code."""
    count = args.count or "5"
    if not (count.isascii() and count.isdigit() and 1 <= int(count) <= 100):
        raise UsageError(f"--count: {count!r} must be a whole number from 1 to 100")
    if (args.name is None) == (args.spec is None):
        raise UsageError("say what is to be previewed: NAME, or --spec WHEN")
    if args.spec is not None:
        lines = _previewed(args, int(count))
    else:
        lines = gateway_client.ask(
            args, f"GET {path.of(args.name, '/next')}", query={"count": count}
        )
    standard.emit("".join(f"{line}\n" for line in lines))
    return 0


def _previewed(args: argparse.Namespace, count: int) -> list[str]:
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    from wherry.triggers.cron.syntax import parse_when, preview

    when = parse_when(args.spec, timezone=args.timezone)
    zone = ZoneInfo(args.timezone) if args.timezone else UTC
    after = datetime.now(UTC)
    if args.after is not None:
        try:
            after = datetime.fromisoformat(args.after)
        except ValueError:
            raise UsageError(f"--after: {args.after!r} is no time as 2026-03-28T12:00Z") from None
        after = after if after.tzinfo else after.replace(tzinfo=zone)
    found = preview(when, after=after.timestamp(), count=count)
    return [datetime.fromtimestamp(each, zone).isoformat() for each in found]
