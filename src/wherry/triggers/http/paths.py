"""Paths of the gateway that lead to functions: the label ``wherry.path``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.functions.model import Deployed


class Watched(Protocol):
    """What is asked of a store of functions."""

    def list(self, namespace: str | None = None) -> list[Deployed]:
        """Return all functions."""
        ...

    def watch(self, changed: Callable[[str, Deployed | None], None]) -> None:
        """Call ``changed`` for every change."""
        ...


class Paths:
    """Finds the function whose prefix is the longest of those that a path begins with.

    A prefix ends where a segment does: ``/vote`` is no prefix of ``/voters``. Of two functions
    with one prefix the older has it.
    """

    def __init__(self, functions: Watched) -> None:
        self._functions = functions
        self._sorted: list[tuple[str, Deployed]] | None = None
        functions.watch(self._changed)

    def find(self, path: str) -> tuple[Deployed, str] | None:
        """Return the function and the rest of the path, which is empty or begins with a slash."""
        if self._sorted is None:
            self._sorted = self._read()
        for prefix, deployed in self._sorted:
            if path == prefix or path.startswith(f"{prefix}/"):
                return deployed, path[len(prefix) :]
        return None

    def _changed(self, qualified: str, deployed: Deployed | None) -> None:
        self._sorted = None

    def _read(self) -> list[tuple[str, Deployed]]:
        found = [
            (each.settings.path.rstrip("/"), each)
            for each in self._functions.list()
            if each.settings.path is not None
        ]
        return sorted(found, key=lambda pair: (-len(pair[0]), pair[1].created))
