"""What one source declares, and what is wrong in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Definition


@dataclass(frozen=True, slots=True)
class Declared:
    """The schedules of a source; those in ``wrong`` cannot be, and stay as they were."""

    definitions: tuple[Definition, ...]
    wrong: Mapping[str, str]
    """Name to what is wrong with it."""
