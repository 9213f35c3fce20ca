"""The red-team corpus against the pure policy: every request meets the rule that it must meet."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support import proxy_corpus as corpus

from wherry.proxy.policy.model import CopyIn, Policy, Profile, TenantView

GROUND = corpus.Ground()
ATTACKS = {attack.name: attack for attack in corpus.attacks(GROUND)}
# The most open policy that there is without naming anything of the host.
TENANT = TenantView(
    "attacker",
    Policy(Profile.CI, pull=("allowed",), images=("busybox:*",), copy_in=CopyIn.ALWAYS),
    network="9" * 64,
)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_request_meets_its_rule(name: str) -> None:
    assert corpus.judge(ATTACKS[name], TENANT, ground=GROUND) == ATTACKS[name].expected


def test_the_corpus_is_large_and_its_names_differ() -> None:
    counts = Counter(attack.name for attack in corpus.attacks(GROUND))
    assert [name for name, count in counts.items() if count > 1] == []
    assert len(counts) >= 150


def test_no_placeholder_of_the_corpus_is_left_open() -> None:
    for attack in ATTACKS.values():
        assert "{own" not in attack.target + attack.body.decode("latin-1")
        assert "{victim" not in attack.target + attack.body.decode("latin-1")


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("privileged", 201, b"{}"),
        ("a foreign container by its id", 200, b"{}"),
        ("a foreign container by its id", 404, b'{"message":"page not found"}'),
        ("a foreign volume", 404, b'{"message":"No such container: x"}'),
        ("all containers", 200, b'[{"Id":"' + b"a" * 64 + b'"}]'),
        ("all networks", 500, b'{"message":"x"}'),
    ],
)
def test_an_answer_that_tells_or_allows_too_much_is_found(
    name: str, status: int, body: bytes
) -> None:
    assert corpus.wrong(ATTACKS[name], corpus.Reply(status, body), ground=GROUND) != ""
