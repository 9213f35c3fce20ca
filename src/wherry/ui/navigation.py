"""The parts of the dashboard that its menu leads to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.ui.parts import Dashboard


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the menu."""

    name: str
    path: str

    def holds(self, path: str) -> bool:
        """Whether a page belongs to it."""
        if self.path == "/ui/":
            return path in ("/ui", "/ui/") or path.startswith("/ui/functions/")
        return path == self.path or path.startswith(f"{self.path}/")


def sections(dashboard: Dashboard) -> tuple[Section, ...]:
    """Return what there is to see. A part of the server that is not there has no entry."""
    scheduled = [Section("Schedules", "/ui/schedules")] if dashboard.schedules is not None else []
    return (
        Section("Functions", "/ui/"),
        Section("Calls", "/ui/calls"),
        Section("Queue", "/ui/queue"),
        *scheduled,
    )
