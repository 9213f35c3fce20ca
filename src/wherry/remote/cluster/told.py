"""Saying once what would otherwise be said at every turn."""

from __future__ import annotations

import logging

_MOST = 1000


class Told:
    """Remembers what has been logged about each thing, until it is well again."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[str, str] = {}

    def warn(self, about: str, message: str, *, reason: str) -> None:
        """Log a warning unless this was the last thing said about it."""
        if self._said.get(about) == reason:
            return
        if len(self._said) >= _MOST:  # a folder of a thousand strange files says enough
            return
        self._said[about] = reason
        self._log.warning(message, extra={"about": about, "reason": reason})

    def well(self, about: str, message: str | None = None) -> None:
        """Note that it is well; said where it had not been."""
        if self._said.pop(about, None) is not None and message is not None:
            self._log.info(message, extra={"about": about})

    def forget_others(self, names: set[str]) -> None:
        """Forget everything but these."""
        for about in self._said.keys() - names:
            del self._said[about]
