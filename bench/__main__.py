"""`python -m bench`: measure, print the table, write bench/results/latest.json."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from fnmatch import fnmatch
from pathlib import Path

from bench.place import Place
from bench.report import as_json, as_table, machine
from bench.rows import ROWS
from bench.running import run_row
from tests.support.environment import unwanted

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    options = parse()
    for name in unwanted():
        del os.environ[name]
    rows = [row for row in ROWS if matches(row.name, options.only)]
    if not rows:
        names = "\n  ".join(row.name for row in ROWS)
        print(f"no row matches {options.only!r}; there are:\n  {names}", file=sys.stderr)
        return 2
    outcomes = []

    async def measure() -> None:
        # Short, and where any user can pass: sockets have a longest path, sandboxes other ids.
        with tempfile.TemporaryDirectory(prefix="wherry-bench-") as directory:
            Path(directory).chmod(0o711)
            async with Place(Path(directory)) as place:
                for row in rows:
                    print(f"measuring: {row.name} vs {row.competitor}", file=sys.stderr)
                    outcomes.append(await run_row(row, place, runs=options.runs))

    asyncio.run(measure())
    print(as_table(outcomes))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(as_json(outcomes, machine()), indent=2) + "\n")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name has this text or pattern in it")
    parser.add_argument("--runs", type=int, help="turns of each row, instead of its own number")
    return parser.parse_args()


def matches(name: str, pattern: str) -> bool:
    return fnmatch(name.casefold(), f"*{pattern.casefold()}*")


if __name__ == "__main__":
    sys.exit(main())
