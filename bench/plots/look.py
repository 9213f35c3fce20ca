"""What the pictures have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis


@dataclass(frozen=True, slots=True)
class Line:
    """How one kind of call is called and drawn, in both pictures alike."""

    label: str
    color: str
    style: str = "-"
    marker: str = "o"


# Okabe and Ito's colors, which people with any color vision can tell apart.
LINES: Mapping[str, Line] = {
    "exec": Line("fork + exec, no container", "#000000", ":"),
    "started": Line("wherry, ready (started)", "#009e73", "-.", "^"),
    "created": Line("wherry, ready (created)", "#0072b2", "-"),
    "ready": Line("wherry, ready (created)", "#0072b2", "-"),
    "cold": Line("wherry, cold", "#d55e00", "--", "s"),
    "docker": Line("docker run", "#888888", "-", "D"),
}
_HALF_A_LINE = 48
_NOTE = 80
_SETTINGS = {
    "figure.figsize": (8, 4.8),
    "figure.facecolor": "white",  # also where the page around it is dark
    "savefig.facecolor": "white",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "wherry",  # the same samples make the same file
}


@contextmanager
def picture(path: Path, *, machine: Mapping[str, Any]) -> Iterator[Axes]:
    """Yield the axes of a picture that the block's end writes as SVG."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        yield axes
        figure.supxlabel(machine_line(machine), x=0.01, ha="left", fontsize=7, color="#666666")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None})


def legend(axes: Axes) -> None:
    """Put the legend below the axes, in one column when a label is too long for two."""
    _, labels = axes.get_legend_handles_labels()
    columns = 1 if max(map(len, labels)) > _HALF_A_LINE else 2
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.15), ncols=columns)


def not_measured(note: str) -> str:
    """Say in a line of the legend why something is not in the picture."""
    return f"not measured here ({note if len(note) <= _NOTE else note[: _NOTE - 1] + '…'})"


def machine_line(machine: Mapping[str, Any]) -> str:
    """Say in one line what it was measured on."""
    load = machine["load"][0]
    return (
        f"{machine['cores']} cores, {machine['processor']}, Linux {machine['kernel']}, "
        f"Python {machine['python']}, load before {load:.1f}"
    )


def milliseconds(value: float) -> str:
    """Say a number of milliseconds in three digits or fewer."""
    return f"{value:.0f} ms" if value >= 100 else f"{value:.2g} ms"


def plain(axis: Axis, *, ticks: list[float]) -> None:
    """Write the ticks of a logarithmic axis as the numbers they are."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def round_numbers(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10, 20, … from just below ``low`` to just above ``high``."""
    numbers = [digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5)]
    first = max((number for number in numbers if number <= low), default=numbers[0])
    last = min((number for number in numbers if number >= high), default=numbers[-1])
    return [number for number in numbers if first <= number <= last]
