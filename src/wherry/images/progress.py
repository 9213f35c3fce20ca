"""How far a pull has come: events for whoever wants them, and how they look on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from wherry.units import format_size

if TYPE_CHECKING:
    from rich.progress import TaskID

State = Literal["waiting", "downloading", "extracting", "done"]


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """Where one layer is on its way."""

    digest: str
    state: State
    done: int
    """Bytes that are here."""
    total: int
    """Bytes of the whole layer, as it is sent."""


class Progress(Protocol):
    """Called from the event loop with every step of every layer; must return at once.

    For each layer: ``waiting``, ``downloading`` any number of times (``done`` grows, but starts
    again when a registry cannot resume), ``extracting``, ``done``. What is here already goes
    from ``waiting`` to ``extracting``. After an error nothing more is said.
    """

    def __call__(self, event: LayerProgress, /) -> None:
        """Take note of one step."""
        ...


def silent(event: LayerProgress, /) -> None:
    """Take note of nothing: the progress nobody looks at."""


@contextmanager
def shown(name: str, *, stream: TextIO, quiet: bool = False) -> Iterator[Progress]:
    """Show the pull of an image: bars on a terminal, else a line per layer, or nothing.

    ``stream`` is stderr: stdout belongs to the function.
    """
    if quiet:
        yield silent
    elif stream.isatty():
        with _bars(name, stream) as progress:
            yield progress
    else:
        yield _lines(name, stream)


def short(digest: str) -> str:
    """Return the part of a digest that people compare."""
    return digest.partition(":")[2][:12]


def _lines(name: str, stream: TextIO) -> Progress:
    seen: set[str] = set()

    def progress(event: LayerProgress, /) -> None:
        if event.state == "done" and event.digest not in seen:
            seen.add(event.digest)
            stream.write(f"{name}: layer {short(event.digest)} {format_size(event.total)}\n")
            stream.flush()

    return progress


@contextmanager
def _bars(name: str, stream: TextIO) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        TextColumn("{task.fields[state]:<11}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=Console(file=stream), transient=True) as bars:
        bars.console.print(f"Pulling {name}", markup=False, highlight=False)

        def progress(event: LayerProgress, /) -> None:
            if event.digest not in tasks:
                tasks[event.digest] = bars.add_task(
                    short(event.digest), total=event.total, state=event.state
                )
            bars.update(tasks[event.digest], completed=event.done, state=event.state)

        yield progress
