"""What a run writes: the end of each stream is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry.streams import Tail
from wherry.triggers.cron.model import OUTPUT

if TYPE_CHECKING:
    from wherry.models import Output


class Outputs:
    """Both streams of one try, apart."""

    def __init__(self, *, limit: int = OUTPUT) -> None:
        self._tails = {"stdout": Tail(limit), "stderr": Tail(limit)}

    def add(self, output: Output) -> None:
        """Keep what came."""
        self._tails[output.stream].add(output.data)

    @property
    def stdout(self) -> bytes:
        """Its last bytes."""
        return self._tails["stdout"].value()

    @property
    def stderr(self) -> bytes:
        """Its last bytes."""
        return self._tails["stderr"].value()

    @property
    def truncated(self) -> bool:
        """Whether either stream was longer."""
        return any(tail.truncated for tail in self._tails.values())


Write = Callable[["Output"], None]
"""Takes what a program writes."""
