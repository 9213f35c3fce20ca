"""Secrets of deployed functions, in real containers: where, for whom, and how new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.local_calls import Calls

from wherry import streams, wire
from wherry.functions.model import Deployed, Deployment
from wherry.functions.store import FunctionStore
from wherry.models import Exit, Invocation
from wherry.wrappers.pool import Pool

READ = "cat /var/openfaas/secrets/key /run/secrets/key"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FunctionStore]:
    store = await FunctionStore.open(tmp_path)
    await store.secrets.create("key", b"old\n")
    yield store
    await store.aclose()


async def said(pool: Pool | Calls, deployed: Deployed) -> str:
    engine = pool.engine if isinstance(pool, Calls) else pool
    invocation = Invocation(function=deployed.function)
    async with engine.start(invocation, streams.NOTHING) as container:
        result = await streams.collect(container)
    assert (result.stderr, result.exit) == (b"", Exit(0))
    return result.stdout.decode()


async def until_ready(pool: Pool, name: str) -> None:
    async with asyncio.timeout(30):
        while pool.stats[name].ready < 1:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("user", ["0", "1000:1000", "65534"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_secret_is_in_both_places_for_whoever_runs_inside(
    calls: Calls, store: FunctionStore, user: str, read_only: bool
) -> None:
    deployed = await store.deploy(
        Deployment(
            service="reader", image="busybox", command=["sh", "-c", f"{READ}; env"],
            secrets=["key"], labels={"wherry.user": user}, read_only_root_filesystem=read_only,
        )
    )  # fmt: skip
    out = await said(calls, deployed)
    assert out.startswith("old\nold\n")
    assert "old" not in out.removeprefix("old\nold\n")


async def test_a_call_in_a_queue_carries_no_value(store: FunctionStore) -> None:
    deployed = await store.deploy(Deployment(service="f", image="busybox", secrets=["key"]))
    text = wire.invocation_to_dict(Invocation(function=deployed.function))
    assert "old" not in str(text)
    assert "old" not in repr(deployed)


@pytest.mark.parametrize("level", ["created", "started"])
async def test_a_ready_container_with_an_older_secret_is_never_served(
    calls: Calls, store: FunctionStore, level: str
) -> None:
    script = f"read line; {READ}" if level == "started" else READ
    deployed = await store.deploy(
        Deployment(
            service="reader", image="busybox", command=["sh", "-c", script], secrets=["key"],
            labels={"wherry.ready": f"{level}:1"},
        )
    )  # fmt: skip
    pool = Pool(calls.engine)
    try:
        await pool.prepare(deployed.function)
        assert await said(pool, deployed) == "old\nold\n"
        for number in range(4):
            await until_ready(pool, "reader.openfaas-fn")
            await store.secrets.replace("key", f"new {number}\n".encode())
            assert await said(pool, deployed) == f"new {number}\n" * 2
        async with asyncio.timeout(30):
            while pool.stats["reader.openfaas-fn"].hits < 2:  # one still being made may be old
                assert await said(pool, deployed) == "new 3\n" * 2
    finally:
        await pool.aclose()


async def test_a_secret_that_changes_while_containers_are_made_is_never_served_old(
    calls: Calls, store: FunctionStore
) -> None:
    """Each call begins after a write has returned, whatever the pool was doing meanwhile."""
    deployed = await store.deploy(
        Deployment(
            service="reader", image="busybox", command=["sh", "-c", READ], secrets=["key"],
            labels={"wherry.ready": "created:2"},
        )
    )  # fmt: skip
    pool = Pool(calls.engine)
    try:
        for number in range(40):
            await store.secrets.replace("key", f"{number}\n".encode())
            assert await said(pool, deployed) == f"{number}\n" * 2
    finally:
        await pool.aclose()


async def test_a_secret_that_changes_just_after_it_was_read_makes_its_container_old(
    calls: Calls, store: FunctionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment between reading the files and noting what they looked like."""
    deployed = await store.deploy(
        Deployment(
            service="reader", image="busybox", command=["sh", "-c", READ], secrets=["key"],
            labels={"wherry.ready": "created:1"},
        )
    )  # fmt: skip
    start = calls.engine._start

    async def start_then_change(*args: Any) -> Any:
        started = await start(*args)
        await store.secrets.replace("key", b"new\n")
        return started

    monkeypatch.setattr(calls.engine, "_start", start_then_change)
    async with calls.engine.reserve(deployed.function) as slot:
        assert not slot.usable
    monkeypatch.undo()
    async with calls.engine.reserve(deployed.function) as slot:
        assert slot.usable
