"""Which functions have ready containers, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
from tests.support.functions import Registry, deployed

from wherry.errors import ImageNotFound
from wherry.models import Ready
from wherry.service import readiness
from wherry.service.readiness import Readiness
from wherry.service.service import FunctionService

if TYPE_CHECKING:
    import pytest

    from wherry.functions.model import Deployed
    from wherry.models import Function


class Pools:
    """A client that remembers what it was to keep ready."""

    def __init__(self) -> None:
        self.ready: dict[str, Ready | None] = {}
        self.fails = False

    async def prepare(self, function: Function) -> None:
        if self.fails:
            raise ImageNotFound(function.image)
        self.ready[function.name] = function.ready

    def define_ready(self, function: Function) -> None:
        self.ready[function.name] = function.ready

    async def forget(self, name: str) -> None:
        self.ready.pop(name, None)


@asynccontextmanager
async def keeping(*, idle: float = 60.0) -> AsyncIterator[tuple[Pools, Readiness]]:
    pools: Any = Pools()
    made = Readiness(pools, idle=idle)
    yield pools, made
    await made.aclose()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def asking(name: str, ready: Ready, **labels: str) -> Deployed:
    """Return a function that was deployed with ready containers of its own."""
    plain = deployed(name, ready=ready)
    return labelled(replace(plain, function=replace(plain.function, ready=ready)), **labels)


def labelled(function: Deployed, **labels: str) -> Deployed:
    names = {f"com.openfaas.scale.{key}": value for key, value in labels.items()}
    return replace(function, deployment=msgspec.structs.replace(function.deployment, labels=names))


async def test_a_function_has_one_ready_container_after_its_deploy() -> None:
    async with keeping() as (pools, it):
        f = deployed("f")
        it.changed(f.qualified, f)
        assert it.wanted(f) == 1
        await turns()
        assert pools.ready == {f.qualified: Ready(min=1)}


async def test_it_is_prepared_once_all_is_there_that_its_first_call_needs() -> None:
    async with keeping() as (pools, it):
        f = deployed("f")
        assert not it.is_prepared(f)
        it.changed(f.qualified, f)
        assert not it.is_prepared(f)
        await turns()
        assert it.is_prepared(f)
        pools.fails = True
        it.changed(f.qualified, f)
        await turns()
        assert not it.is_prepared(f)
        it.used(f)
        none = replace(f, replicas=0, function=replace(f.function, ready=Ready(min=0, max=0)))
        it.changed(f.qualified, none)
        assert not it.is_prepared(none)
        it.used(none)
        assert it.is_prepared(none)


async def test_an_idle_function_gives_it_up_and_has_it_again_with_its_next_call() -> None:
    async with keeping(idle=0.01) as (pools, it):
        f = deployed("f")
        it.changed(f.qualified, f)
        async with asyncio.timeout(10):
            while it.wanted(f):
                await asyncio.sleep(0.001)
        assert pools.ready[f.qualified] == Ready(min=0, max=0)
        assert it.used(f).ready == Ready(min=1)
        assert it.wanted(f) == 1


async def test_one_that_may_not_go_to_zero_keeps_it() -> None:
    async with keeping(idle=0.001) as (_, it):
        f = deployed("f", scale_to_zero=False)
        it.changed(f.qualified, f)
        await asyncio.sleep(0.02)
        assert it.wanted(f) == 1


async def test_what_was_asked_for_is_kept_unless_it_may_go_to_zero() -> None:
    async with keeping(idle=0.001) as (_, it):
        kept = asking("kept", Ready(min=3, level="started"))
        given_up = asking("given-up", Ready(min=3), zero="true")
        for each in (kept, given_up):
            it.changed(each.qualified, each)
            assert it.wanted(each) == 3
        await asyncio.sleep(0.02)
        assert (it.wanted(kept), it.wanted(given_up)) == (3, 0)


async def test_no_more_are_available_than_were_asked_for() -> None:
    f = deployed("f")
    pools: Any = Pools()
    pools.pool_stats = {f.qualified: SimpleNamespace(ready=5)}  # as a rush has taught the pool
    pools.can_keep_ready = True
    registry = Registry(f)
    service = FunctionService(pools, registry)
    registry.deploy(f)
    assert (service.replicas(f), service.available(f)) == (1, 1)
    await service.aclose()


async def test_scaling_is_seen_at_once_and_none_means_none() -> None:
    async with keeping() as (pools, it):
        f = deployed("f")
        it.changed(f.qualified, f)
        five = replace(f, replicas=5, function=replace(f.function, ready=Ready(min=5)))
        it.changed(f.qualified, five)
        assert it.wanted(five) == 5
        none = replace(f, replicas=0, function=replace(f.function, ready=Ready(min=0, max=0)))
        it.changed(f.qualified, none)
        assert it.wanted(none) == 0
        await turns()
        assert pools.ready == {f.qualified: Ready(min=0, max=0)}


async def test_a_call_brings_a_function_back_that_was_scaled_to_none() -> None:
    async with keeping() as (_, it):
        f = deployed("f")
        none = replace(f, replicas=0, function=replace(f.function, ready=Ready(min=0, max=0)))
        it.changed(f.qualified, none)
        assert it.used(none).ready == Ready(min=1)


async def test_a_function_that_was_deployed_without_ready_containers_never_has_any() -> None:
    async with keeping() as (_, it):
        f = asking("f", Ready(min=0, max=0))
        it.changed(f.qualified, f)
        assert it.used(f).ready == Ready(min=0, max=0)
        assert it.wanted(f) == 0


async def test_after_a_start_only_those_have_some_that_asked_for_them() -> None:
    async with keeping() as (pools, it):
        usual, asked = deployed("usual"), asking("asked", Ready(min=2))
        for each in (usual, asked):
            it.restored(each)
        await turns()
        assert (it.wanted(usual), it.wanted(asked)) == (0, 2)
        assert pools.ready == {asked.qualified: Ready(min=2)}


async def test_a_removed_function_has_none() -> None:
    async with keeping() as (pools, it):
        f = deployed("f")
        it.changed(f.qualified, f)
        await turns()
        it.changed(f.qualified, None)
        await turns()
        assert pools.ready == {}


async def test_every_call_of_a_function_has_the_very_same_definition() -> None:
    async with keeping() as (_, it):
        f = deployed("f")
        assert it.used(f) is it.used(f)


async def test_of_many_functions_those_used_last_have_ready_containers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "_MOST_BY_DEFAULT", 2)
    async with keeping() as (_, it):
        a, b, c = (deployed(name) for name in "abc")
        asked = asking("asked", Ready(min=1))
        for each in (a, asked, b):
            it.used(each)
        it.used(a)
        it.used(c)
        assert [it.wanted(each) for each in (a, b, c, asked)] == [1, 0, 1, 1]


async def test_an_image_that_cannot_be_had_is_for_its_first_caller_to_hear_of() -> None:
    async with keeping() as (pools, it):
        pools.fails = True
        f = deployed("f")
        it.changed(f.qualified, f)
        await turns()
        assert pools.ready == {}
