from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench.harness import Missing
from bench.latency import Latency
from bench.plots.drawing import draw_recorded
from bench.recorded import write_latencies, write_points
from bench.throughput import CALLERS, KINDS, Point
from tests.support.require import missing

ROOT = Path(__file__).parents[2]
MACHINE = {"cores": 2, "processor": "a processor", "kernel": "6.1", "python": "3.11.2",
           "load": [0.1, 0.2, 0.3]}  # fmt: skip
MOST_BYTES = 200_000


@pytest.fixture(autouse=True)
def matplotlib() -> None:
    if importlib.util.find_spec("matplotlib") is None:
        missing("matplotlib, of the extra 'bench'")


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    latencies = [
        Latency(kind=kind, samples=tuple(middle * (1 + turn / 100) for turn in range(100)))
        for kind, middle in (("exec", 1.0), ("started", 2.0), ("created", 2.1), ("cold", 9.0))
    ]
    latencies.append(Latency(kind="docker", note="missing: root, which dockerd needs"))
    points = [
        Point(kind=kind, callers=callers, seconds=1.0, samples=(5.0,) * (callers * 9))
        if kind != "docker"
        else Point(kind=kind, callers=callers, note="missing: root, which dockerd needs")
        for callers in CALLERS
        for kind in KINDS
    ]
    write_latencies(tmp_path / "samples", latencies, machine=MACHINE)
    write_points(tmp_path / "samples", points, machine=MACHINE)
    return tmp_path / "samples"


def test_pictures_are_small_and_drawn_alike_from_the_same_samples(
    samples: Path, tmp_path: Path
) -> None:
    first = draw_recorded(samples, tmp_path / "first")
    again = draw_recorded(samples, tmp_path / "again")
    assert [path.name for path in first] == ["latency.svg", "throughput.svg"]
    for one, other in zip(first, again, strict=True):
        assert one.stat().st_size < MOST_BYTES
        assert ET.parse(one).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        assert one.read_bytes() == other.read_bytes()


def test_axes_have_units_and_the_legend_names_what_was_not_measured(samples: Path) -> None:
    latency, throughput = (path.read_text() for path in draw_recorded(samples, samples))
    assert "milliseconds from the call" in latency
    assert "containers per second" in throughput
    for text in (latency, throughput):
        assert "docker run: not measured here" in text


def test_what_was_measured_alone_is_drawn_alone(samples: Path, tmp_path: Path) -> None:
    (samples / "throughput.json").unlink()
    assert [path.name for path in draw_recorded(samples, tmp_path)] == ["latency.svg"]


def test_without_samples_it_says_to_measure_first(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="run `make bench` first"):
        draw_recorded(tmp_path, tmp_path)


def test_pictures_are_drawn_again_by_one_command(samples: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.plots", "--samples"]
    command += [str(samples), "--into", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tmp_path / f"{n}.svg") for n in ("latency", "throughput")]
