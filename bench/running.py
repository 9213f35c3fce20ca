"""Running one row: whatever goes wrong becomes a note, and the next row has its turn."""

from __future__ import annotations

import traceback
from dataclasses import replace

from bench.harness import Missing, Outcome, Place, Row, take_turns


async def run_row(row: Row[Place], place: Place, *, runs: int | None = None) -> Outcome:
    """Set a row up, measure it, and return what became of it."""
    if runs is not None:
        row = replace(row, runs=runs)
    try:
        async with row.sides(place) as sides:
            samples = await take_turns(sides, runs=row.runs, warm_up=row.warm_up, calm=row.calm)
    except Missing as error:
        return Outcome(row=row, note=str(error))
    except Exception as error:  # noqa: BLE001 - said in the table, and the run goes on
        traceback.print_exc()
        return Outcome(row=row, note=f"{type(error).__name__}: {error}")
    return Outcome(row=row, samples=samples)
