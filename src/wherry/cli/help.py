"""The help of the command and of its subcommands, the same on every Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser

_GAP = 2
_WIDEST_NAME = 30
_NARROWEST = 60


def render(parser: Parser, *, width: int | None = None) -> str:
    """Return the help of one subcommand, ending in a newline."""
    columns = width or _terminal_width()
    parts = [f"Usage: {usage(parser)}", wrapped(parser.summary + ".", columns)]
    if parser.text:
        parts += [wrapped(paragraph, columns) for paragraph in parser.text.split("\n\n")]
    if parser.examples:
        parts.append("Examples:\n" + "\n".join(f"  {line}" for line in parser.examples))
    operands = [(operand.name, operand.help) for operand in parser.operands if operand.help]
    if operands:
        parts.append("Arguments:\n" + table(operands, columns))
    for heading, rows in sections(parser):
        parts.append(f"{heading}:\n{table(rows, columns)}")
    return "\n\n".join(parts) + "\n"


def usage(parser: Parser) -> str:
    """Return the line that says how a subcommand is written."""
    options = ["[OPTIONS]"] if parser.options() else []
    return " ".join([parser.prog, *options, *(operand.shown for operand in parser.operands)])


def sections(parser: Parser) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return (heading, (option, what it does)…) of all options."""
    found: dict[str, list[tuple[str, str]]] = {}
    for action in parser.options():
        heading = parser.sections.get(action.option_strings[-1], "Options")
        found.setdefault(heading, []).append((spelling(action), action.help or ""))
    return list(found.items())


def spelling(action: argparse.Action) -> str:
    """Return how an option is written: ``-e, --env NAME[=VALUE]``."""
    names = ", ".join(action.option_strings)
    if not action.option_strings[0].startswith("--"):
        return names if action.nargs == 0 else f"{names} {action.metavar}"
    return f"    {names}" if action.nargs == 0 else f"    {names} {action.metavar}"


def table(rows: Iterable[tuple[str, str]], width: int) -> str:
    """Return two columns, the right one wrapped."""
    import textwrap

    rows = list(rows)
    left = min(max(len(name) for name, _ in rows), _WIDEST_NAME) + _GAP
    indent = " " * (left + 2)
    lines = []
    for name, text in rows:
        if len(name) + _GAP > left:
            lines.append(f"  {name}")
            head = indent
        else:
            head = f"  {name:<{left}}"
        lines.append(
            textwrap.fill(text, width, initial_indent=head, subsequent_indent=indent).rstrip()
        )
    return "\n".join(lines)


def wrapped(text: str, width: int) -> str:
    """Return a paragraph in lines."""
    import textwrap

    return textwrap.fill(text, width)


def _terminal_width() -> int:
    import shutil

    return max(_NARROWEST, min(shutil.get_terminal_size().columns, 100))
