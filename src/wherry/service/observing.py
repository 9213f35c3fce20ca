"""Several observers as one, none of which can disturb a call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.models import Output
    from wherry.service.call import Call, Observer

_log = logging.getLogger(__name__)


class Observers:
    """Implements :class:`wherry.service.call.Observer` for many; what one raises is logged."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = list(observers)

    def add(self, observer: Observer) -> None:
        """Tell one more of every call from now on."""
        self._observers.append(observer)

    def began(self, call: Call) -> None:
        """Say that a call was asked for."""
        for each in self._observers:
            with _unheard:
                each.began(call)

    def started(self, call: Call) -> None:
        """Say that its container is there."""
        for each in self._observers:
            with _unheard:
                each.started(call)

    def wrote(self, call: Call, output: Output) -> None:
        """Say that it wrote something."""
        for each in self._observers:
            with _unheard:
                each.wrote(call, output)

    def ended(self, call: Call) -> None:
        """Say that it is over."""
        for each in self._observers:
            with _unheard:
                each.ended(call)


class _Unheard:
    """Logs an error in its block instead of letting it out."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        _log.error("an observer of calls failed", exc_info=error)
        return True


_unheard = _Unheard()
