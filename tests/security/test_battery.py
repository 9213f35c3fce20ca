"""Every probe of the battery comes to its expected verdict, as root and as an ordinary user."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

import pytest
from tests.support.probes.attack import Finding, matches
from tests.support.probes.attack_mounts import links_in_a_bind
from tests.support.probes.programs import compile_probes
from tests.support.probes.running import Findings, Identity, find, identities, place
from tests.support.probes.stage import staged
from tests.support.probes.table import PROBES, Probe

from wherry.engines.local import arguments


@functools.cache
def findings(identity: Identity) -> Findings:
    return find(identity)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("identity", identities())
@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_the_probe_comes_to_its_expected_verdict(probe: Probe, identity: Identity) -> None:
    found = findings(identity)
    finding = found.by_name[probe.name]
    expected = probe.root if identity == "root" or found.has_groups else probe.user
    refused = probe.may_refuse and finding.verdict == "refused"
    assert refused or matches(finding.verdict, expected), (
        f"{probe.name} as {identity}: {finding.verdict}, not {expected}: {finding.evidence}"
    )


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_probes(tmp_path_factory.mktemp("probes"))


@pytest.mark.parametrize(
    ("name", "bait"),
    [
        ("host-file", {"BAIT_FILE": "/etc/passwd"}),
        ("proc-1", {}),
        ("proc-links", {"BAIT_FILE": "/etc/passwd"}),
        ("dot-dot", {"BAIT_FILE": "/etc/passwd"}),
        ("other-processes", {}),
        ("capabilities", {}),
        ("oom-score", {}),
        ("memory-bomb", {}),
        ("shared-memory-bomb", {}),
        ("x", {}),
    ],
)
def test_a_probe_outside_of_any_container_says_that_it_escaped(
    probes: Path, name: str, bait: dict[str, str]
) -> None:
    if name == "x":
        name, bait = "callers-environment", {"CALLERS_VARIABLE": "leaks"}
    done = subprocess.run(
        [probes, name, "8"], env=bait, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.startswith("ESCAPED"), done.stdout


@pytest.mark.parametrize("masked", [True, False])
async def test_an_attack_gets_out_where_a_wall_is_taken_away(
    probes: Path, monkeypatch: pytest.MonkeyPatch, masked: bool
) -> None:
    if not masked:
        monkeypatch.setattr(arguments, "_masks", lambda proc, scratch: [])
    with place("root") as home:
        async with staged(home, probes=probes.read_bytes(), linker=None) as stage:
            finding: Finding = await links_in_a_bind(stage)
    assert finding.verdict == ("contained" if masked else "escaped")
