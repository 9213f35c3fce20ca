"""What belongs to whom, on disk and in memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wherry.errors import EngineError, NotFound
from wherry.proxy.tenants.model import Amounts, Kind, Owned, Pending, Tenant
from wherry.proxy.tenants.registry import Registry

ID = "a" * 64


def owned(id_: str = ID, *, tenant: str = "ci", kind: Kind = "container", **more: str) -> Owned:
    amounts = Amounts(containers=1, memory=100)
    return Owned(kind=kind, id=id_, tenant=tenant, created=1.0, amounts=amounts, **more)


def pending(nonce: str = "n") -> Pending:
    amounts = Amounts(containers=1, memory=100)
    return Pending(nonce=nonce, tenant="ci", kind="container", created=1.0, amounts=amounts)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    registry = Registry(tmp_path)
    registry.put(Tenant(name="ci", created=1.0))
    yield registry
    registry.close()


def test_what_was_written_is_there_when_it_is_opened_again(
    registry: Registry, tmp_path: Path
) -> None:
    registry.record(owned(name="web"))
    registry.intend(pending())
    before = registry.instance
    registry.close()
    again = Registry(tmp_path)
    assert again.instance == before
    assert again.owned("ci") == [owned(name="web")]
    assert again.pending() == [pending()]
    assert again.uses("ci") == Amounts(containers=2, memory=200)
    again.close()


def test_a_kill_9_takes_nothing_that_was_written(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from wherry.proxy.tenants.model import Amounts, Owned, Tenant
from wherry.proxy.tenants.registry import Registry
registry = Registry(Path({str(tmp_path)!r}))
registry.put(Tenant(name="ci", created=1.0))
registry.record(Owned(kind="container", id={ID!r}, tenant="ci", created=1.0))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], env={**os.environ})
    assert ended.returncode == -signal.SIGKILL
    again = Registry(tmp_path)
    assert again.ids("ci", "container") == {ID}
    again.close()


def test_two_processes_cannot_have_it_at_one_time(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="in use"):
        Registry(tmp_path)


def test_a_reservation_becomes_the_object_and_counts_once(registry: Registry) -> None:
    registry.intend(pending())
    registry.record(owned(), nonce="n")
    assert registry.pending() == []
    assert registry.uses("ci") == Amounts(containers=1, memory=100)


def test_what_is_forgotten_gives_its_quota_back_with_its_execs(registry: Registry) -> None:
    registry.record(owned())
    registry.record(owned("e" * 64, kind="exec", container=ID))
    registry.forget("container", ID, tenant="ci")
    registry.forget("container", ID, tenant="ci")
    assert registry.owned("ci") == []
    assert registry.uses("ci") == Amounts()


def test_a_new_name_takes_back_nothing_that_changed_meanwhile(registry: Registry) -> None:
    before = owned(name="old")
    registry.record(before)
    registry.record(replace(before, amounts=Amounts(containers=1, memory=500)))
    registry.rename(before, "new")
    assert [each.name for each in registry.owned("ci")] == ["new"]
    assert registry.uses("ci").memory == 500
    registry.forget("container", ID, tenant="ci")
    registry.rename(before, "ghost")
    assert registry.owned("ci") == []


def test_an_object_of_another_tenant_is_not_found(registry: Registry) -> None:
    registry.put(Tenant(name="victim", created=1.0))
    registry.record(owned(tenant="victim"))
    assert registry.get("container", ID, tenant="ci") is None
    assert registry.ids("ci", "container") == set()
    assert [each.tenant for each in registry.holders("container", ID)] == ["victim"]


def test_tenants_are_a_tree(registry: Registry) -> None:
    registry.put(Tenant(name="child", parent="ci", depth=1, created=2.0))
    registry.put(Tenant(name="grandchild", parent="child", depth=2, created=3.0))
    registry.put(Tenant(name="other", created=4.0))
    assert [each.name for each in registry.lineage("grandchild")] == ["grandchild", "child", "ci"]
    assert [each.name for each in registry.below("ci")] == ["grandchild", "child"]


def test_a_tenant_that_is_removed_leaves_nothing(registry: Registry, tmp_path: Path) -> None:
    registry.record(owned())
    registry.intend(pending())
    registry.remove("ci")
    registry.close()
    again = Registry(tmp_path)
    assert (again.tenants(), again.owned("ci"), again.pending()) == ([], [], [])
    with pytest.raises(NotFound):
        again.tenant("ci")
    again.close()
