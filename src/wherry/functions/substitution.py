"""``${NAME:-default}`` in a text, as OpenFaaS's command reads its files."""

from __future__ import annotations

import re
from collections.abc import Callable

from wherry.errors import UsageError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPERATORS = (":-", ":=", "-", "=")
_DEEPEST = 20

Variable = Callable[[str], str | None]


def substitute(text: str, *, variable: Variable) -> str:
    """Return the text with its variables filled in; one that is unset or empty is its default.

    ``$${NAME}`` stands for ``${NAME}`` itself; a default may hold variables. Raises
    :class:`UsageError` for what is neither, with its line.
    https://github.com/drone/envsubst
    """
    found, end = _until(text, 0, variable, depth=0)
    assert end == len(text)
    return found


def _until(text: str, at: int, variable: Variable, *, depth: int) -> tuple[str, int]:
    """Read on to the end, or inside of a variable to its brace; return what it is, and where."""
    done: list[str] = []
    while at < len(text):
        if depth and text[at] == "}":
            return "".join(done), at
        if text.startswith("$${", at):
            done.append("${")
            at += 3
        elif text.startswith("${", at):
            value, at = _variable(text, at, variable, depth=depth + 1)
            done.append(value)
        else:
            done.append(text[at])
            at += 1
    return "".join(done), at


def _variable(text: str, start: int, variable: Variable, *, depth: int) -> tuple[str, int]:
    name = _NAME.match(text, start + 2)
    if name is None or depth > _DEEPEST:
        raise _wrong(text, start)
    at = name.end()
    operator = next((each for each in _OPERATORS if text.startswith(each, at)), "")
    default, end = _until(text, at + len(operator), variable, depth=depth)
    if end == len(text) or (default and not operator):
        raise _wrong(text, start)
    return variable(name[0]) or default, end + 1


def _wrong(text: str, start: int) -> UsageError:
    line = text.count("\n", 0, start) + 1
    shown = text[start : start + 30].partition("\n")[0]
    return UsageError(
        f"line {line}: {shown!r} cannot be read; write ${{NAME}} or ${{NAME:-default}}, "
        "and $${ for a plain ${"
    )
