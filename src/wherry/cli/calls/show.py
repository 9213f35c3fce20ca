"""``wherry calls show``: all that is known of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import gateway_client, printing, standard
from wherry.cli.calls import path
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_ROWS = (
    ("Call", "id"),
    ("Function", "name"),
    ("Namespace", "namespace"),
    ("Asked by", "trigger"),
    ("State", "state"),
    ("Status", "status"),
    ("Exit code", "exitCode"),
    ("Ended by", "exitReason"),
    ("Error", "error"),
    ("Asked for", "createdAt"),
    ("Started", "startedAt"),
    ("First output", "firstByteAt"),
    ("Ended", "endedAt"),
    ("Took", "durationSeconds"),
    ("Tries", "attempts"),
    ("Interrupted", "interruptions"),
    ("Next try", "nextAttemptAt"),
    ("Bytes in", "stdinBytes"),
    ("Bytes out", "stdoutBytes"),
    ("Result kept", "resultBytes"),
)
_CALLBACK = (
    ("Callback", "url"),
    ("  is", "state"),
    ("  tries", "attempts"),
    ("  status", "status"),
    ("  error", "error"),
    ("  next try", "nextAttemptAt"),
)


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "calls show",
        summary="Show all that is known of calls",
        operands=(Operand("CALL", "its id", many=True),),
    )
    made.flag("--json", help="print a JSON array")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    found = [gateway_client.ask(args, f"GET {path.of(call)}") for call in args.call]
    if args.json:
        printing.show_json(found)
    else:
        standard.emit("\n".join(_text(call) for call in found))
    return 0


def _text(call: dict[str, Any]) -> str:
    rows = list(_of(call, _ROWS))
    if call.get("cancelling"):
        rows.append(["Cancelled", "it was asked to end, and runs still"])
    rows += _of(call.get("callback") or {}, _CALLBACK)
    stderr = str(call.get("stderr", ""))
    lines = "".join(f"  {printing.printable(line)}\n" for line in stderr.splitlines())
    return printing.table(rows) + (f"Stderr\n{lines}" if lines else "")


def _of(document: dict[str, Any], rows: tuple[tuple[str, str], ...]) -> Iterator[list[str]]:
    for heading, key in rows:
        value = document.get(key)
        if value is not None:
            text = f"{value:.3f}s" if key == "durationSeconds" else str(value)
            yield [heading, text]
