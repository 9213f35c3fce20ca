"""What happens to a container, its caller or its machine never leaves anything behind."""

from __future__ import annotations

import os
import subprocess

import pytest
from tests.chaos.scenarios import SCENARIOS
from tests.support.probes.running import Identity, identities, place, run_as


@pytest.mark.parametrize("identity", identities())
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_accident_is_noticed_and_leaves_nothing_behind(
    scenario: str, identity: Identity
) -> None:
    with place(identity) as home:
        process = run_as(
            identity, "-m", "tests.chaos.scenarios", scenario, str(home),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "HOME": str(home)},
        )  # fmt: skip
        said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said.decode(errors="replace")
