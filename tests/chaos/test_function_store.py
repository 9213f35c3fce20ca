"""kill -9 of a server that deploys: what it said was kept is there, whole."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest
from tests.chaos.deployer import FUNCTIONS

from wherry.errors import NotFound
from wherry.functions.store import FunctionStore

TOP = Path(__file__).parents[2]
KILLS = 12


@pytest.mark.timeout(300)
async def test_what_was_said_to_be_kept_survives_kill_9(tmp_path: Path) -> None:
    chance = random.Random(4)
    state = tmp_path / "state"
    last = 0
    for _ in range(KILLS):
        last = await deployed_until_killed(state, start=last + 1, lines=chance.randrange(1, 80))
        store = await FunctionStore.open(state)
        check(store, last)
        await store.aclose()


async def deployed_until_killed(state: Path, *, start: int, lines: int) -> int:
    """Return the last number that was said to be kept."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.chaos.deployer", state, str(start),
        cwd=TOP, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for _ in range(lines):
            assert await process.stdout.readline(), "it ended by itself"
    finally:
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    said = rest.split()
    return int(said[-1]) if said else start + lines - 1


def check(store: FunctionStore, last: int) -> None:
    """Everything up to ``last`` is there; of the next one, all, some or nothing of its steps."""
    assert store.problems == {}
    for number in range(max(1, last - FUNCTIONS + 1), last + 1):
        name = f"f{number % FUNCTIONS}"
        allowed = {number, last + 1} if (last + 1) % FUNCTIONS == number % FUNCTIONS else {number}
        try:
            found = int(store.get(name).function.env["NUMBER"])
        except NotFound:
            assert any(each % 7 == 0 for each in allowed)
            continue
        assert found in allowed
        assert found % 7 != 0 or found == last + 1
    value = store.secrets.path("key").read_bytes()
    numbers = value.split()
    assert len(numbers) == 5000
    assert set(numbers) <= {b"%d" % last} or set(numbers) <= {b"%d" % (last + 1)}
    assert [path.name for path in store.secrets.path("key").parent.iterdir()] == ["key"]
