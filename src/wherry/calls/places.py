"""How many more calls functions take now that limit themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry.errors import NotFound

if TYPE_CHECKING:
    from wherry.calls.performing import Service
    from wherry.models import Output
    from wherry.service.call import Call


class Places:
    """Counts the calls of the queue that are ours, so that none is claimed only to wait.

    Also an observer of calls: the end of one that somebody waits for frees a place, too.
    """

    def __init__(self, service: Service, *, freed: Callable[[], None]) -> None:
        self._service = service
        self._freed = freed
        self._ours: Counter[str] = Counter()
        self._limited: set[str] = set()
        service.add_observer(self)

    def free(self) -> dict[str, int]:
        """Return the free places of every function that is known to have a limit."""
        found = {name: self._free(name) for name in self._limited}
        self._limited = {name for name, places in found.items() if places is not None}
        return {name: places for name, places in found.items() if places is not None}

    def enter(self, qualified: str) -> bool:
        """Take a place for a call that was claimed; return whether there was one."""
        places = self._free(qualified)
        if places is not None:
            self._limited.add(qualified)
            if places < 1:
                return False
        self._ours[qualified] += 1
        return True

    def leave(self, qualified: str) -> None:
        """Give a place back."""
        self._ours[qualified] -= 1
        if not self._ours[qualified]:
            del self._ours[qualified]

    def _free(self, qualified: str) -> int | None:
        try:
            deployed = self._service.find(qualified)
        except NotFound:
            return None
        most = deployed.settings.concurrency
        if most is None:
            return None
        return max(0, most - max(self._service.running(deployed), self._ours[qualified]))

    # ---- Observer --------------------------------------------------------------------------

    def began(self, call: Call) -> None:
        """Do nothing."""

    def started(self, call: Call) -> None:
        """Do nothing."""

    def wrote(self, call: Call, output: Output) -> None:
        """Do nothing."""

    def ended(self, call: Call) -> None:
        """Say that there is a place."""
        if call.deployed.qualified in self._limited:
            self._freed()
