"""The table of the documentation is the battery's."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

from tests.security.table import PATH, markdown
from tests.support.probes.programs import compile_probes
from tests.support.probes.table import PROBES


def test_the_documented_table_is_the_current_one() -> None:
    assert PATH.read_text() == markdown(), "run: python -m tests.security.table"


def test_every_probe_of_the_program_is_in_the_table_and_no_other(tmp_path: Path) -> None:
    listed = subprocess.run(
        [compile_probes(tmp_path)], capture_output=True, text=True, check=False
    ).stdout.split()
    used = {probe.command[1] for probe in PROBES if probe.command[:1] == ("/probes",)}
    assert used == set(listed)


def test_names_are_unique_and_there_are_more_than_sixty() -> None:
    counts = Counter(probe.name for probe in PROBES)
    assert [name for name, count in counts.items() if count > 1] == []
    assert len(PROBES) > 60


def test_what_is_known_to_be_open_says_why() -> None:
    known = [probe for probe in PROBES if "open" in (probe.root, probe.user)]
    assert all(len(probe.why) > 40 for probe in known)
    assert {"escaped", "unclear"}.isdisjoint({v for p in PROBES for v in (p.root, p.user)})
