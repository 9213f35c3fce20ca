"""Pipelines as the clients offer them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import wherry
from wherry.client import AsyncClient
from wherry.errors import UsageError
from wherry.models import Exit, Function, Output
from wherry.sync import Client
from wherry.sync.default import close_default
from wherry.testing import MemoryEngine

UPPER = Function(name="upper", image="busybox", command=("tr", "a-z", "A-Z"))


@pytest.fixture
def client() -> Iterator[Client]:
    with Client(MemoryEngine(), functions=[UPPER]) as client:
        yield client


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(os.environ, "WHERRY_ENGINE", "memory")
    yield
    close_default()


def test_a_stage_is_a_name_a_function_or_what_the_client_made_of_one(client: Client) -> None:
    head = client.function("busybox", ["head", "-c", "2"])
    cat = Function(name="cat", image="busybox", command=("cat",))
    found = client.pipe(cat, "upper", head, input="hello")
    assert (found.text, found.stages[2].function) == ("HE", "busybox")
    with pytest.raises(UsageError, match="no function 'uper'; did you mean 'upper'"):
        client.pipe("uper", input="x")
    with pytest.raises(UsageError, match="at least one"):
        client.pipe(input="x")


def test_a_pipeline_is_read_live_without_asyncio_too(client: Client) -> None:
    with client.start_pipe("upper", "upper", input=["a", "b"]) as running:
        *said, last = list(running)
    assert b"".join(event.data for event in said if isinstance(event, Output)) == b"AB"
    assert last == Exit(0)
    with client.start_pipe("upper", input=iter(lambda: b"x", b"")) as running:
        running.kill()
        *_, last = list(running)
    assert last == Exit(137, "killed")


def test_the_module_has_pipe_too(memory: None) -> None:
    upper = wherry.function("busybox", ["tr", "a-z", "A-Z"])
    assert wherry.pipe(upper, upper, input="hi").check().text == "HI"
    with wherry.start_pipe(upper, input="hi") as running:
        assert list(running) == [Output("stdout", b"HI"), Exit(0)]


async def test_each_client_can_be_made_of_the_environment(memory: None) -> None:
    async with AsyncClient.from_env(functions=[UPPER]) as client:
        assert (await client.invoke("upper", input="a")).text == "A"
    with Client.from_env(functions=[UPPER]) as made:
        assert dict(made.functions) == {"upper": UPPER}


async def test_a_wrong_engine_in_the_environment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "WHERRY_ENGINE", "dokcer")
    with pytest.raises(UsageError, match="did you mean 'docker'"):
        AsyncClient.from_env()
