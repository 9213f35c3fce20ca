"""What is measured besides the rows: the samples of the pictures, and how cost grows."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.growth.images import FILES, measure_images
from bench.growth.report import CALLERS as SHOWN
from bench.growth.report import Growth
from bench.growth.waiting import COUNTS, growing
from bench.harness import Missing
from bench.latency import TURNS, measure_latency
from bench.recorded import write_latencies, write_points
from bench.throughput import CALLERS, measure_throughput

if TYPE_CHECKING:
    from bench.growth.images import Sized
    from bench.growth.waiting import Step
    from bench.place import Place
    from bench.throughput import Point

LATENCY, THROUGHPUT, GROWTH = "picture: latency", "picture: throughput", "growth"
SECTIONS = (LATENCY, THROUGHPUT, GROWTH)
_QUICK = 0.1


class Sections:
    """Measures sections and keeps what they found; one that fails does not stop the others."""

    def __init__(self, results: Path, *, machine: Mapping[str, Any], quick: bool = False) -> None:
        """``quick`` measures a fraction of everything, to see that it works."""
        self._results = results
        self._machine = machine
        self._quick = quick
        self._points: list[Point] = []
        self._waiting: list[Step] = []
        self._images: list[Sized] = []
        self.failed = False

    @property
    def growth(self) -> Growth | None:
        """How cost grows, None when nothing of it was measured."""
        if not (self._points or self._waiting or self._images):
            return None
        return Growth(tuple(self._waiting), tuple(self._images), tuple(self._points))

    async def measure(self, name: str, place: Place) -> None:
        """Measure one section; why it could not be is said on stderr."""
        section = {
            LATENCY: self._latency,
            THROUGHPUT: self._throughput,
            GROWTH: self._growth,
        }[name]
        try:
            await section(place)
        except Missing as error:
            print(f"  not measured: {error}", file=sys.stderr)
        except Exception:  # noqa: BLE001 - said, and the run goes on
            self.failed = True
            traceback.print_exc()

    async def _latency(self, place: Place) -> None:
        turns = 8 if self._quick else TURNS
        latencies = await measure_latency(place, turns=turns)
        write_latencies(self._results, latencies, machine=self._machine)

    async def _throughput(self, place: Place) -> None:
        scale = _QUICK if self._quick else 1
        self._points = await measure_throughput(place, callers=CALLERS, scale=scale)
        write_points(self._results, self._points, machine=self._machine)

    async def _growth(self, place: Place) -> None:
        await place.engine()
        counts = COUNTS[:2] if self._quick else COUNTS
        self._waiting = await asyncio.to_thread(lambda: list(growing(place.data, counts=counts)))
        files = (FILES[0], 1000) if self._quick else FILES
        self._images = await measure_images(place, files=files)
        if not self._points:
            scale = _QUICK if self._quick else 1
            self._points = await measure_throughput(
                place, callers=SHOWN, kinds=("cold", "ready"), scale=scale
            )
