"""`python -m bench`: measure, print the table, write bench/results and draw docs/pictures."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.growth.report import as_json as growth_json
from bench.growth.report import as_tables
from bench.harness import Missing
from bench.place import Place
from bench.report import as_json, as_table, machine
from bench.rows import ROWS
from bench.running import run_row
from bench.sections import LATENCY, SECTIONS, THROUGHPUT, Sections
from tests.support.environment import unwanted

if TYPE_CHECKING:
    from bench.harness import Outcome, Row

RESULTS = Path(__file__).parent / "results"
PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


def main() -> int:
    options = parse()
    for name in unwanted():
        del os.environ[name]
    rows = [row for row in ROWS if matches(row.name, options.only)]
    wanted = [name for name in SECTIONS if matches(name, options.only)]
    if not rows and not wanted:
        names = "\n  ".join([row.name for row in ROWS] + list(SECTIONS))
        print(f"no row matches {options.only!r}; there are:\n  {names}", file=sys.stderr)
        return 2
    # A quick run's figures are worth nothing, and replace none.
    results = RESULTS / "quick" if options.quick else RESULTS
    results.mkdir(parents=True, exist_ok=True)
    runs = options.runs or (3 if options.quick else None)
    before = machine()
    sections = Sections(results, machine=before, quick=options.quick)
    outcomes = asyncio.run(measure(rows, wanted, sections=sections, runs=runs))
    growth = sections.growth
    if outcomes:
        print(as_table(outcomes))
    if growth is not None:
        print("\n" + as_tables(growth))
    result = as_json(outcomes, before, growth=None if growth is None else growth_json(growth))
    (results / "latest.json").write_text(json.dumps(result, indent=2) + "\n")
    if not options.no_plots and {LATENCY, THROUGHPUT}.intersection(wanted):
        draw(results, results if options.quick else PICTURES)
    return 0 if all(outcome.passed for outcome in outcomes) and not sections.failed else 1


async def measure(
    rows: list[Row[Any]], wanted: list[str], *, sections: Sections, runs: int | None
) -> list[Outcome]:
    outcomes = []
    # Short, and where any user can pass: sockets have a longest path, sandboxes other ids.
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as directory:
        Path(directory).chmod(0o711)
        async with Place(Path(directory)) as place:
            for row in rows:
                print(f"measuring: {row.name} vs {row.competitor}", file=sys.stderr)
                outcomes.append(await run_row(row, place, runs=runs))
            for name in wanted:
                print(f"measuring: {name}", file=sys.stderr)
                await sections.measure(name, place)
    return outcomes


def draw(samples: Path, into: Path) -> None:
    """Draw what is recorded; where that cannot be done, say so and go on."""
    from bench.plots.drawing import draw_recorded

    try:
        drawn = draw_recorded(samples, into)
    except ModuleNotFoundError as error:
        print(f"no pictures: {error}; pip install 'wherry[bench]'", file=sys.stderr)
    except Missing as error:
        print(f"no pictures: {error}", file=sys.stderr)
    else:
        print("\n" + "\n".join(map(str, drawn)))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", help="what has this text or pattern in its name")
    parser.add_argument("--runs", type=int, help="turns of each row, instead of its own number")
    parser.add_argument("--quick", action="store_true", help="see that it works: no figures to use")
    parser.add_argument("--no-plots", action="store_true", help="measure all, draw no pictures")
    return parser.parse_args()


def matches(name: str, pattern: str) -> bool:
    return fnmatch(name.casefold(), f"*{pattern.casefold()}*")


if __name__ == "__main__":
    sys.exit(main())
