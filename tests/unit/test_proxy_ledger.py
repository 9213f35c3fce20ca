"""Quotas: never more than is allowed, whatever happens at one time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry.engines.docker.failures import Refused
from wherry.proxy.policy.model import Denied
from wherry.proxy.tenants.ledger import Ledger, Reservation
from wherry.proxy.tenants.model import Amounts, Tenant
from wherry.proxy.tenants.registry import Registry

MOST = Amounts(containers=3, networks=1, volumes=1, images=1, execs=1, memory=1000, pids=100)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path)
    registry.put(Tenant(name="ci", created=1.0))
    registry.put(Tenant(name="child", parent="ci", depth=1, created=2.0))
    yield registry
    registry.close()


@pytest.fixture
def ledger(registry: Registry) -> Ledger:
    return Ledger(registry, allowed=lambda tenant: MOST)


def reserve(ledger: Ledger, tenant: str = "ci", memory: int = 100) -> Reservation:
    return ledger.reserve(tenant, "container", amounts=Amounts(memory=memory))


def test_one_more_than_is_allowed_is_refused_with_what_and_how_much(ledger: Ledger) -> None:
    for _ in range(3):
        reserve(ledger)
    with pytest.raises(Denied, match="containers: 3 at most, 3 in use, 1 more") as caught:
        reserve(ledger)
    assert caught.value.status == 403


def test_a_sum_is_bounded_as_a_count_is(ledger: Ledger) -> None:
    reserve(ledger, memory=900)
    with pytest.raises(Denied, match="memory: 1000 at most, 900 in use, 101 more"):
        reserve(ledger, memory=101)
    reserve(ledger, memory=100)


def test_what_failed_gives_back_what_it_reserved(ledger: Ledger, registry: Registry) -> None:
    with pytest.raises(Refused), reserve(ledger):
        raise Refused("no", status=409, reason="no")
    assert registry.uses("ci") == Amounts()


def test_what_may_have_been_made_stays_set_aside(ledger: Ledger, registry: Registry) -> None:
    with pytest.raises(RuntimeError), reserve(ledger) as reservation:
        raise RuntimeError
    assert registry.uses("ci") == Amounts(containers=1, memory=100)
    assert registry.abandoned == {reservation.nonce}


def test_what_the_engine_was_not_asked_for_yet_is_given_back(
    ledger: Ledger, registry: Registry
) -> None:
    reservation = reserve(ledger)
    reservation.is_asked = False
    with pytest.raises(RuntimeError), reservation:
        raise RuntimeError
    assert registry.pending() == []


def test_what_was_made_is_kept(ledger: Ledger, registry: Registry) -> None:
    with reserve(ledger) as reservation:
        made = reservation.commit("a" * 64, name="web")
    assert registry.named("ci", "container", name="web") == made
    assert registry.uses("ci") == Amounts(containers=1, memory=100)


def test_a_nested_tenant_uses_its_parents_quota(ledger: Ledger) -> None:
    for _ in range(3):
        reserve(ledger, "child")
    with pytest.raises(Denied):
        reserve(ledger, "ci")
    with pytest.raises(Denied):
        reserve(ledger, "child")


def test_a_change_is_counted_by_what_it_adds(ledger: Ledger, registry: Registry) -> None:
    made = reserve(ledger, memory=600).commit("a" * 64)
    made = ledger.change(made, Amounts(memory=1000))
    with pytest.raises(Denied):
        ledger.change(made, Amounts(memory=1001))
    assert registry.uses("ci") == Amounts(containers=1, memory=1000)
