"""Output for people and for programs: aligned tables, and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wherry.cli import standard


def show_json(value: object) -> None:
    """Print a value as JSON, indented, with a newline."""
    import json

    standard.emit(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def show_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in aligned columns under their heads."""
    standard.emit(table([heads, *rows]))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in aligned columns; what could move a terminal's cursor is shown escaped."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
    return "".join(f"{line}\n" for line in lines)


def printable(text: str) -> str:
    """Return text of somebody else's, such as a label, without control characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def age(seconds: float) -> str:
    """Say how long ago something was, in its largest unit: ``42s``, ``3h``, ``12d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"


def short_id(identity: str) -> str:
    """Return the part of an id that people use."""
    return identity.partition(":")[2][:12] if ":" in identity else identity[:12]
