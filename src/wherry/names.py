"""The nearest name to one that does not exist, for error messages."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or all that is known when nothing is near, or ``""``."""
    import difflib

    names = sorted(known)
    if close := difflib.get_close_matches(word, names, n=1):
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(names)}" if names else ""
