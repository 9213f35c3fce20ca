"""``wherry logs``: what a function wrote to stderr."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from wherry.cli import functions, gateway_client, printing, standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.gateway_client import Gateway, Query

_LONGEST_LINE = 16 * 1024 * 1024


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "logs",
        summary="Show what a function wrote to stderr",
        text="Of all its calls, the oldest first. The output of one asynchronous call is in "
        "`wherry calls`.",
        examples=("wherry logs -f upper", "wherry logs --since 10m --tail 20 upper"),
        operands=(Operand("FUNCTION", "its name"),),
    )
    made.flag("-f", "--follow", help="go on as more is written, until Ctrl-C")
    made.value("--tail", metavar="NUMBER", help="the last lines only")
    made.value("--since", metavar="TIME", help="how long ago, as in 10m, or a time of RFC 3339")
    made.value("--call", metavar="ID", help="of one call only")
    made.flag("-t", "--timestamps", help="begin each line with its time and call")
    made.flag("--json", help="print a JSON object per line")
    functions.declare_namespace(made)
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    query = {
        "name": args.function,
        "namespace": args.namespace,
        "instance": args.call,
        "tail": number(args.tail),
        "since": _since(args.since),
        "follow": "true" if args.follow else None,
    }
    show(args, query)
    return 0


def show(args: argparse.Namespace, query: Query) -> int:
    """Print the lines that a gateway is asked for, and return how many there were.

    ``args`` say which gateway it is, and how lines are shown: ``json`` and ``timestamps``.
    """
    return asyncio.run(_show(gateway_client.gateway_of(args), query, args))


async def _show(gateway: Gateway, query: Query, args: argparse.Namespace) -> int:
    count = 0
    async with gateway.open("GET", "/system/logs", query=query) as answer:
        await answer.check()
        rest = b""
        async for chunk in answer:
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LONGEST_LINE:
                raise UsageError("the gateway's answer has a line without an end: is it a gateway?")
            found = [_line(line, args) for line in lines if line.strip()]
            count += len(found)
            standard.emit("".join(found))
    return count


def _line(data: bytes, args: argparse.Namespace) -> str:
    if args.json:
        return data.decode(errors="replace") + "\n"
    line: dict[str, Any] = json.loads(data)
    text = str(line.get("text", "")).rstrip("\n")
    if args.timestamps:
        return f"{line.get('timestamp')} {printing.short_id(str(line.get('instance')))} {text}\n"
    return f"{text}\n"


def number(text: str | None) -> str | None:
    """Return what ``--tail`` says; raises :class:`UsageError`."""
    if text is not None and not (text.isascii() and text.isdigit()):
        raise UsageError(f"--tail: {text!r} must be a whole number")
    return text


def _since(text: str | None) -> str | None:
    """Return a time of RFC 3339."""
    if text is None:
        return None
    from datetime import UTC, datetime, timedelta

    from wherry.units import parse_duration

    if "T" in text or ":" in text:
        return text
    ago = timedelta(seconds=parse_duration(text, name="--since"))
    return (datetime.now(UTC) - ago).isoformat()
