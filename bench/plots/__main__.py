"""`python -m bench.plots`: draw the pictures again from the samples of the last `make bench`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.harness import Missing
from bench.plots.drawing import draw_recorded

ROOT = Path(__file__).parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument(
        "--samples", type=Path, default=ROOT / "bench" / "results", help="where they are recorded"
    )
    parser.add_argument(
        "--into", type=Path, default=ROOT / "docs" / "pictures", help="where the pictures go"
    )
    options = parser.parse_args()
    try:
        drawn = draw_recorded(options.samples, options.into)
    except Missing as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(map(str, drawn)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
