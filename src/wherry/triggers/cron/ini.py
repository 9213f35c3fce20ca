"""Files of ofelia: sections with a kind and a name, keys that may be repeated.

https://github.com/mcuadros/ofelia (its files are those of git: https://git-scm.com/docs/git-config)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from wherry.errors import UsageError

_SECTION = re.compile(r'\[\s*(?P<kind>[A-Za-z-]+)(?:\s+"(?P<name>(?:[^"\\]|\\.)*)")?\s*\]\s*(.*)')
_KEY = re.compile(r"(?P<key>[A-Za-z][A-Za-z0-9-]*)\s*(?:=\s*(?P<value>.*))?")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Section:
    """One section; keys are in lower case, values in the order they came."""

    kind: str
    name: str
    options: dict[str, list[str]] = field(default_factory=dict)


def sections(text: str) -> list[Section]:
    """Read a file. Raises :class:`UsageError` that names the line."""
    found: list[Section] = []
    for number, line in _lines(text):
        rest = line
        if match := _SECTION.fullmatch(line):
            name = re.sub(r"\\(.)", r"\1", match["name"] or "")
            found.append(Section(match["kind"].lower(), name))
            rest = match[3].strip()
            if not rest or rest[0] in "#;":
                continue
        match = _KEY.fullmatch(rest)
        if match is None:
            raise UsageError(f"line {number}: {rest!r} is neither [section] nor key = value")
        if not found:
            raise UsageError(f"line {number}: {rest!r} stands before the first [section]")
        value = "true" if match["value"] is None else _value(match["value"], number=number)
        found[-1].options.setdefault(match["key"].lower(), []).append(value)
    return found


def _lines(text: str) -> list[tuple[int, str]]:
    """Return lines with their numbers; one that ends in a backslash goes on in the next."""
    found: list[tuple[int, str]] = []
    held, began = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        began = began or number
        whole = held + line.strip() if held else line.strip()
        if whole.endswith("\\") and not whole.endswith("\\\\") and not whole.startswith(("#", ";")):
            held = whole[:-1]
            continue
        if whole and whole[0] not in "#;":
            found.append((began, whole))
        held, began = "", 0
    if held:
        found.append((began, held.strip()))
    return found


def _value(text: str, *, number: int) -> str:
    """Return a value without its escapes and its comment.

    Quotes around all of it go; others stay, for whoever cuts a command into words.
    """
    found: list[str] = []
    is_quoted, is_kept = False, not text.startswith('"')
    chars = iter(text)
    for char in chars:
        if char == '"':
            is_quoted = not is_quoted
            found.append(char if is_kept else "")
        elif char == "\\":
            after = next(chars, "")
            found.append(_ESCAPES.get(after, f"\\{after}"))
        elif char in "#;" and not is_quoted:
            break
        else:
            found.append(char)
    if is_quoted:
        raise UsageError(f'line {number}: a " is missing at the end of {text!r}')
    return "".join(found).strip()
