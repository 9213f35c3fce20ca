"""How far many calls have come: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wherry.cli import printing, standard


@dataclass(frozen=True, slots=True)
class Bar:
    """What is shown."""

    _say: Callable[[str], None]
    advance: Callable[[], None]
    """One more is done."""

    def say(self, text: str) -> None:
        """Print a line, above the bar where there is one."""
        self._say(printing.printable(text))


@contextmanager
def shown(total: int, *, quiet: bool) -> Iterator[Bar]:
    """Show how many of ``total`` are done, while the block runs."""
    if quiet or not sys.stderr.isatty():
        yield Bar(standard.say, lambda: None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(file=sys.stderr)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=total)
        yield Bar(
            lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True),
            lambda: bars.advance(task),
        )
