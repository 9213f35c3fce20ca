"""Deployed functions that are a pipe of others."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.functions import Registry, deployed

from wherry import streams
from wherry.client import AsyncClient
from wherry.errors import ConcurrencyReached, StartError
from wherry.functions.model import Deployment
from wherry.functions.store import FunctionStore
from wherry.models import Exit, Output
from wherry.service.admission import Capacity
from wherry.service.pipes import stages
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine

if TYPE_CHECKING:
    from wherry.service.call import Call


class Seen:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def began(self, call: Call) -> None:
        self.calls.append(call)

    def started(self, call: Call) -> None: ...

    def wrote(self, call: Call, output: Output) -> None: ...

    def ended(self, call: Call) -> None: ...

    def statuses(self) -> dict[str, int | None]:
        return {call.id: call.status for call in self.calls}


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FunctionStore]:
    store = await FunctionStore.open(tmp_path)
    commands = {
        "upper": ["tr", "a-z", "A-Z"],
        "cat": ["cat"],
        "head": ["head", "-c", "3"],
        "env": ["env"],
        "fails": ["sh", "-c", "echo why >&2; exit 3"],
    }
    for name, command in commands.items():
        await store.deploy(Deployment(service=name, image="busybox", command=command))
    yield store
    await store.aclose()


@pytest.fixture
async def service(store: FunctionStore, seen: Seen) -> AsyncIterator[FunctionService]:
    async with AsyncClient(MemoryEngine()) as client:
        capacity = Capacity(max_running=4, queue_wait=0.01)
        service = FunctionService(client, store, capacity=capacity, observers=[seen])
        yield service
        await service.aclose()


async def call(service: FunctionService, name: str, stdin: str = "") -> streams.Collected:
    deployed = service.find(name)
    source = streams.source(stdin)
    env = {"Http_Method": "POST", "Http_Content_Length": "5"}
    async with service.call(deployed, source, trigger="http", id="call", env=env) as live:
        return await streams.collect(live)  # type: ignore[arg-type]


async def pipe(store: FunctionStore, name: str, *stages: str, **labels: str) -> None:
    given = {key.replace("_", "."): value for key, value in labels.items()}
    await store.deploy(Deployment(service=name, pipe=list(stages), labels=given or None))


async def test_a_pipe_is_called_as_any_function(
    service: FunctionService, store: FunctionStore, seen: Seen
) -> None:
    await pipe(store, "shout", "upper", "head")
    await pipe(store, "twice", "cat", "shout")
    assert (await call(service, "twice", "hello")).stdout == b"HEL"
    names = [(one.id, one.deployed.name, one.trigger) for one in seen.calls]
    assert names[0] == ("call", "twice", "http")
    assert sorted(names[1:]) == [
        ("call.1", "cat", "pipe"),
        ("call.2", "upper", "pipe"),
        ("call.3", "head", "pipe"),
    ]
    assert set(seen.statuses().values()) == {200}
    assert seen.calls[0].stdout_bytes == 3


async def test_a_stage_that_fails_is_the_call_s_exit_and_each_stage_is_on_record(
    service: FunctionService, store: FunctionStore, seen: Seen
) -> None:
    await pipe(store, "broken", "cat", "fails", "cat")
    found = await call(service, "broken", "hello")
    assert (found.exit, found.stderr) == (Exit(3), b"why\n")
    exits = {one.id: one.exit for one in seen.calls}
    assert exits["call"] == exits["call.2"] == Exit(3)
    assert seen.statuses()["call"] == 500


async def test_a_stage_that_is_read_no_further_is_no_failure_on_record(
    service: FunctionService, store: FunctionStore, seen: Seen
) -> None:
    await store.deploy(Deployment(service="zeros", image="busybox", command=["cat", "/dev/zero"]))
    await pipe(store, "few", "zeros", "head")
    assert (await call(service, "few")).stdout == bytes(3)
    assert seen.statuses() == {"call": 200, "call.1": 200, "call.2": 200}


async def test_what_describes_the_request_s_body_is_told_to_its_reader_alone(
    service: FunctionService, store: FunctionStore
) -> None:
    await pipe(store, "first", "env", "cat")
    await pipe(store, "last", "cat", "env")
    first, last = await call(service, "first"), await call(service, "last")
    assert sorted(first.stdout.split()) == [b"Http_Content_Length=5", b"Http_Method=POST"]
    assert last.stdout.split() == [b"Http_Method=POST"]


async def test_a_pipe_takes_the_places_of_its_stages_and_none_of_its_own(
    service: FunctionService, store: FunctionStore
) -> None:
    await pipe(store, "four", "cat", "cat", "cat", "cat")
    assert (await call(service, "four", "x")).stdout == b"x"
    assert service.admission.running == 0


async def test_the_limits_of_a_stage_and_of_the_pipe_hold(
    service: FunctionService, store: FunctionStore
) -> None:
    slow = Deployment(
        service="slow",
        image="busybox",
        command=["sleep", "60"],
        labels={"wherry.timeout": "20ms", "wherry.concurrency": "1"},
    )
    await store.deploy(slow)
    await pipe(store, "late", "cat", "slow")
    assert (await call(service, "late")).exit.reason == "timeout"
    async with service.call(service.find("slow"), streams.NOTHING, trigger="http"):
        with pytest.raises(ConcurrencyReached, match="'slow'"):
            await call(service, "late")


async def test_a_stage_that_was_removed_keeps_the_pipe_from_starting_and_says_so(
    service: FunctionService, store: FunctionStore
) -> None:
    await pipe(store, "shout", "upper", "cat")
    await store.remove("upper", namespace="openfaas-fn")
    with pytest.raises(StartError, match="pipe 'shout' cannot run: there is no function 'upper'"):
        await call(service, "shout")


def test_a_stage_that_is_no_plain_program_is_told() -> None:
    web = deployed("web", mode="http")
    document = Deployment(service="odd", pipe=["cat", "web"])
    odd = dataclasses.replace(deployed("odd"), deployment=document)
    registry: Any = Registry(web, odd, deployed("cat"))
    with pytest.raises(StartError, match="'web' speaks http"):
        stages(odd, registry)
