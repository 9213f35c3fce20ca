"""Files of functions and what the store makes of them as they change."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wherry.errors import AlreadyExists, EngineError
from wherry.functions import reload
from wherry.functions.model import Deployed, Deployment
from wherry.functions.reload import FileSource
from wherry.functions.store import FunctionStore


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FunctionStore]:
    store = await FunctionStore.open(tmp_path / "state")
    yield store
    await store.aclose()


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "wherry.toml"


def function(name: str, *, image: str = "busybox", more: str = "") -> str:
    return f'[functions.{name}]\nimage = "{image}"\n{more}\n'


def write(path: Path, text: str) -> None:
    """Write a file whose time differs, however quick we are."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    time = max(before + 1, path.stat().st_mtime_ns)
    os.utime(path, ns=(time, time))


def names(store: FunctionStore) -> list[str]:
    return [each.name for each in store.list()]


async def test_what_a_file_declares_comes_changes_and_goes_with_it(
    store: FunctionStore, toml: Path
) -> None:
    source = FileSource(store, [toml])
    write(toml, function("one") + function("two"))
    await source.apply()
    assert names(store) == ["one", "two"]
    assert store.get("one").source == str(toml)
    write(toml, function("one", image="alpine") + function("three"))
    await source.apply()
    assert names(store) == ["one", "three"]
    assert store.get("one").function.image == "alpine"
    write(toml, "")
    await source.apply()
    assert names(store) == []
    assert source.problems == {}


async def test_only_what_changed_is_deployed_again(store: FunctionStore, toml: Path) -> None:
    source = FileSource(store, [toml])
    write(toml, function("one") + function("two"))
    await source.apply()
    await store.scale("one", replicas=4)
    told: list[str] = []
    store.watch(lambda name, _: told.append(name))
    await source.apply()
    assert told == []
    write(toml, function("one") + function("two", image="alpine"))
    await source.apply()
    assert told == ["two.openfaas-fn"]
    assert store.get("one").replicas == 4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("[functions", "it is no TOML"),
        (function("two") + function("one", more="timeout = 'abc'"),
         "functions.one.timeout: 'abc' is no duration; write seconds, or as in 1m30s"),
        (function("two") + function("one", more="tiemout = 1"), "did you mean 'timeout'?"),
    ],
)  # fmt: skip
async def test_a_bad_file_leaves_the_old_functions_and_says_why(
    store: FunctionStore, toml: Path, wrong: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = FileSource(store, [toml])
    write(toml, function("one"))
    await source.apply()
    before = store.list()
    write(toml, wrong)
    for _ in range(3):
        await source.apply()
    assert store.list() == before
    assert said in source.problems[toml]
    assert str(toml) in source.problems[toml]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    write(toml, function("two"))
    await source.apply()
    assert names(store) == ["two"]
    assert source.problems == {}


async def test_a_file_that_is_gone_is_a_mistake(store: FunctionStore, toml: Path) -> None:
    source = FileSource(store, [toml])
    write(toml, function("one"))
    await source.apply()
    toml.unlink()
    await source.apply()
    assert names(store) == ["one"]
    assert "'wherry.toml' cannot be read" in source.problems[toml]


async def test_a_function_waits_alone_for_its_secret(store: FunctionStore, toml: Path) -> None:
    source = FileSource(store, [toml])
    write(toml, function("one", more='secrets = ["key"]') + function("two"))
    await source.apply()
    assert names(store) == ["two"]
    assert "functions.one: secrets: there is no 'key'" in source.problems[toml]
    await store.secrets.create("key", b"x")
    await source.apply()
    assert names(store) == ["one", "two"]
    assert source.problems == {}


async def test_a_pipe_may_stand_before_its_stages(store: FunctionStore, toml: Path) -> None:
    source = FileSource(store, [toml])
    write(toml, '[functions.a]\npipe = ["b", "c"]\n' + function("b") + function("c"))
    await source.apply()
    assert names(store) == ["a", "b", "c"]
    assert source.problems == {}


async def test_a_namespace_that_a_file_names_is_made(store: FunctionStore, toml: Path) -> None:
    write(toml, function("one", more='namespace = "dev"'))
    await FileSource(store, [toml]).apply()
    assert store.namespaces() == ["dev", "openfaas-fn"]
    assert store.get("one", namespace="dev").qualified == "one.dev"


async def test_a_file_wins_over_a_client_and_the_client_is_told(
    store: FunctionStore, toml: Path
) -> None:
    await store.deploy(Deployment(service="one", image="alpine"))
    write(toml, function("one"))
    await FileSource(store, [toml]).apply()
    assert store.get("one").function.image == "busybox"
    with pytest.raises(AlreadyExists, match="change it there"):
        await store.deploy(Deployment(service="one", image="alpine"))


async def test_of_two_files_the_first_has_a_name(store: FunctionStore, tmp_path: Path) -> None:
    first, second = tmp_path / "a.toml", tmp_path / "b.yaml"
    write(first, function("one"))
    write(second, "functions: {one: {image: alpine}, two: {image: alpine}}")
    source = FileSource(store, [first, second])
    await source.apply()
    assert {each.name: each.function.image for each in store.list()} == {
        "one": "busybox", "two": "alpine",
    }  # fmt: skip
    assert f"declared in {first}; change it there" in source.problems[second]
    write(first, "")
    await source.apply()
    assert store.get("one").function.image == "alpine"
    assert source.problems == {}


async def test_an_environment_file_is_watched_as_well(store: FunctionStore, tmp_path: Path) -> None:
    stack, env = tmp_path / "stack.yml", tmp_path / "env.yml"
    write(env, "environment: {A: one}")
    write(stack, "functions: {f: {image: busybox, environment_file: [env.yml]}}")
    source = FileSource(store, [stack])
    await source.apply()
    assert store.get("f").function.env == {"A": "one"}
    write(env, "environment: {A: two}")
    await source.apply()
    assert store.get("f").function.env == {"A": "two"}


async def test_variables_come_from_where_it_is_told(store: FunctionStore, tmp_path: Path) -> None:
    stack = tmp_path / "stack.yaml"
    write(stack, "functions: {f: {image: '${IMAGE:-busybox}'}}")
    await FileSource(store, [stack], variable={"IMAGE": "alpine"}.get).apply()
    assert store.get("f").function.image == "alpine"


async def test_what_a_file_of_another_time_declared_is_removed(
    store: FunctionStore, toml: Path
) -> None:
    await store.deploy(Deployment(service="old", image="busybox"), source="/gone/wherry.toml")
    await store.deploy(Deployment(service="mine", image="busybox"))
    await FileSource(store, []).apply()
    assert names(store) == ["mine"]


async def test_what_cannot_be_written_now_is_tried_again(
    store: FunctionStore, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FileSource(store, [toml])
    write(toml, function("one"))

    async def full(deployment: Deployment, *, source: str = "api") -> Deployed:
        raise EngineError("functions.db cannot be used: database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "deploy", full)
        await source.apply()
    assert names(store) == []
    assert "disk is full" in source.problems[toml]
    await source.apply()
    assert names(store) == ["one"]


async def test_changes_are_applied_while_it_runs(
    store: FunctionStore, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "EVERY", 0.01)
    changed = asyncio.Event()
    store.watch(lambda *_: changed.set())
    write(toml, function("one"))
    running = asyncio.create_task(FileSource(store, [toml]).run())
    await asyncio.wait_for(changed.wait(), 20)
    changed.clear()
    write(toml, function("one", image="alpine"))
    await asyncio.wait_for(changed.wait(), 20)
    assert store.get("one").function.image == "alpine"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
