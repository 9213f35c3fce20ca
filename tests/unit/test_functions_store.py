"""The store of functions: what is there after a write, an error, and a restart."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError
from wherry.functions.database import MIGRATIONS
from wherry.functions.model import Deployed, Deployment
from wherry.functions.namespaces import Namespace
from wherry.functions.store import FunctionStore
from wherry.models import Ready


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def upper(**fields: Any) -> Deployment:
    return Deployment(**{"service": "upper", "image": "busybox", **fields})


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FunctionStore]:
    store = await FunctionStore.open(tmp_path, clock=Clock())
    yield store
    await store.aclose()


async def again(store: FunctionStore, folder: Path) -> FunctionStore:
    await store.aclose()
    return await FunctionStore.open(folder)


async def test_a_deployed_function_is_there_at_once_and_after_a_restart(
    store: FunctionStore, tmp_path: Path
) -> None:
    deployed = await store.deploy(upper(command=["tr", "a", "b"], labels={"x": "y"}))
    assert store.get("upper") is deployed
    assert store.list() == [deployed]
    later = await again(store, tmp_path)
    assert later.list() == [deployed]
    await later.aclose()


async def test_deploying_again_replaces_and_keeps_when_it_was_created(
    store: FunctionStore,
) -> None:
    first = await store.deploy(upper())
    second = await store.deploy(upper(image="alpine"))
    assert (first.created, second.created) == (101, 101)
    assert store.get("upper").function.image == "alpine"
    assert (await store.update(upper(image="debian"))).function.image == "debian"
    assert len(store.list()) == 1


async def test_what_is_absent_is_not_updated_and_the_nearest_name_is_said(
    store: FunctionStore,
) -> None:
    await store.deploy(upper())
    for call in (store.update(upper(service="uper")), store.remove("uper"),
                 store.scale("uper", replicas=1)):  # fmt: skip
        with pytest.raises(NotFound, match=r"no function 'uper'; did you mean 'upper'"):
            await call
    with pytest.raises(NotFound, match=r"no function 'zzz'$"):
        store.get("zzz")
    with pytest.raises(NotFound, match="no function 'upper' in namespace 'dev'"):
        store.get("upper", namespace="dev")


async def test_a_removed_function_is_gone_with_its_number_of_calls(
    store: FunctionStore, tmp_path: Path
) -> None:
    await store.deploy(upper())
    store.count("upper.openfaas-fn")
    await store.remove("upper")
    assert store.list() == []
    assert store.invocations("upper.openfaas-fn") == 0
    later = await again(store, tmp_path)
    assert later.list() == []
    assert later.invocations("upper.openfaas-fn") == 0
    await later.aclose()


async def test_a_mistake_changes_nothing(store: FunctionStore) -> None:
    before = await store.deploy(upper())
    told: list[str] = []
    store.watch(lambda name, _: told.append(name))
    for wrong in (upper(image=""), upper(secrets=["key"]), upper(namespace="dev"),
                  upper(labels={"wherry.timeout": "abc"}), upper(service="a b")):  # fmt: skip
        with pytest.raises(UsageError) as raised:
            await store.deploy(wrong)
        assert not isinstance(raised.value, NotFound)
    assert store.list() == [before]
    assert told == []


async def test_an_unknown_secret_or_namespace_is_said_with_the_nearest(
    store: FunctionStore,
) -> None:
    await store.secrets.create("tokens", b"x")
    with pytest.raises(UsageError, match=r"secrets: there is no 'token'.*did you mean 'tokens'"):
        await store.deploy(upper(secrets=["token"]))
    with pytest.raises(UsageError, match=r"namespace: there is no 'openfaas'.*'openfaas-fn'"):
        await store.deploy(upper(namespace="openfaas"))
    assert (await store.deploy(upper(secrets=["tokens"]))).function.secrets[0].name == "tokens"


async def test_watchers_hear_of_every_change_once_it_is_kept(store: FunctionStore) -> None:
    told: list[tuple[str, Deployed | None]] = []

    def changed(name: str, deployed: Deployed | None) -> None:
        assert [each for each in store.list() if each.qualified == name] == (
            [deployed] if deployed else []
        )
        told.append((name, deployed))

    store.watch(changed)
    first = await store.deploy(upper())
    second = await store.scale("upper", replicas=3)
    await store.remove("upper")
    name = "upper.openfaas-fn"
    assert told == [(name, first), (name, second), (name, None)]


async def test_scaling_is_seen_at_once_lasts_a_restart_and_ends_with_a_deployment(
    store: FunctionStore, tmp_path: Path
) -> None:
    await store.deploy(upper(labels={"wherry.ready": "started:2"}))
    assert store.get("upper").replicas == 2
    await store.scale("upper", replicas=0)
    assert store.get("upper").replicas == 0
    store = await again(store, tmp_path)
    deployed = store.get("upper")
    assert (deployed.replicas, deployed.function.ready) == (0, Ready(min=0, max=0, level="started"))
    await store.scale("upper", replicas=5)
    assert store.get("upper").function.ready == Ready(min=5, level="started")
    await store.deploy(upper())
    assert (store.get("upper").replicas, store.get("upper").function.ready) == (1, None)
    await store.aclose()


@pytest.mark.parametrize("replicas", [-1, 21])
async def test_scaling_has_bounds(store: FunctionStore, replicas: int) -> None:
    await store.deploy(upper())
    with pytest.raises(UsageError, match=f"replicas: {replicas} is not from 0 to 20"):
        await store.scale("upper", replicas=replicas)


async def test_names_are_apart_by_namespace_and_listed_in_order(store: FunctionStore) -> None:
    await store.create_namespace(Namespace(name="dev"))
    for name, namespace in (("b", ""), ("a", "dev"), ("a", "")):
        await store.deploy(upper(service=name, namespace=namespace))
    assert [each.qualified for each in store.list()] == ["a.dev", "a.openfaas-fn", "b.openfaas-fn"]
    assert [each.qualified for each in store.list("dev")] == ["a.dev"]
    await store.remove("a", namespace="dev")
    assert store.get("a").namespace == "openfaas-fn"


async def test_namespaces_are_made_changed_and_removed_when_they_are_empty(
    store: FunctionStore, tmp_path: Path
) -> None:
    assert store.namespaces() == ["openfaas-fn"]
    await store.create_namespace(Namespace(name="dev", labels={"openfaas": "1"}))
    with pytest.raises(AlreadyExists, match="'dev' already"):
        await store.create_namespace(Namespace(name="dev"))
    with pytest.raises(UsageError, match="name: 'a b' is no name"):
        await store.create_namespace(Namespace(name="a b"))
    await store.update_namespace(Namespace(name="dev", annotations={"a": "b"}))
    store = await again(store, tmp_path)
    assert store.namespace("dev") == Namespace(name="dev", annotations={"a": "b"})
    assert store.namespaces() == ["dev", "openfaas-fn"]
    await store.deploy(upper(namespace="dev"))
    await store.secrets.create("key", b"x", namespace="dev")
    with pytest.raises(UsageError, match="'dev' still has 1 functions and 1 secrets"):
        await store.remove_namespace("dev")
    await store.remove("upper", namespace="dev")
    await store.secrets.remove("key", namespace="dev")
    await store.remove_namespace("dev")
    assert store.namespaces() == ["openfaas-fn"]
    with pytest.raises(NotFound, match="no namespace 'dev'"):
        await store.update_namespace(Namespace(name="dev"))
    with pytest.raises(NotFound, match="no namespace 'dev'"):
        await store.secrets.create("key", b"x", namespace="dev")
    with pytest.raises(UsageError, match="default namespace, which stays"):
        await store.remove_namespace("openfaas-fn")
    await store.aclose()


async def test_calls_are_counted_and_the_number_lasts_a_restart(
    store: FunctionStore, tmp_path: Path
) -> None:
    await store.deploy(upper())
    for _ in range(3):
        store.count("upper.openfaas-fn")
    store.count("nobody.openfaas-fn")
    store = await again(store, tmp_path)
    store.count("upper.openfaas-fn")
    assert store.invocations("upper.openfaas-fn") == 4
    assert store.invocations("nobody.openfaas-fn") == 0
    await store.deploy(upper(image="alpine"))
    assert store.invocations("upper.openfaas-fn") == 4
    await store.aclose()


async def test_a_function_of_a_file_is_changed_in_the_file_alone(store: FunctionStore) -> None:
    await store.deploy(upper(), source="/etc/wherry.toml")
    for call in (store.deploy(upper()), store.update(upper()), store.remove("upper"),
                 store.deploy(upper(), source="/other.toml")):  # fmt: skip
        with pytest.raises(AlreadyExists, match=r"declared in /etc/wherry\.toml; change it there"):
            await call
    assert (await store.scale("upper", replicas=2)).source == "/etc/wherry.toml"
    await store.deploy(upper(image="alpine"), source="/etc/wherry.toml")
    await store.remove("upper", source="/etc/wherry.toml")
    assert store.list() == []


async def test_a_file_takes_over_what_a_client_deployed(store: FunctionStore) -> None:
    await store.deploy(upper())
    deployed = await store.deploy(upper(image="alpine"), source="/etc/wherry.toml")
    assert store.get("upper") == deployed
    assert deployed.source == "/etc/wherry.toml"


async def test_the_stages_of_a_pipe_must_be_deployed_and_go_in_no_circle(
    store: FunctionStore,
) -> None:
    await store.deploy(upper())
    with pytest.raises(UsageError, match="pipe: there is no function 'pad'"):
        await store.deploy(Deployment(service="shout", pipe=["upper", "pad"]))
    await store.deploy(upper(service="pad"))
    await store.deploy(Deployment(service="shout", pipe=["upper", "pad"]))
    await store.deploy(Deployment(service="twice", pipe=["shout", "shout"]))
    with pytest.raises(UsageError, match=r"shout\.openfaas-fn.* goes round in a circle"):
        await store.deploy(Deployment(service="shout", pipe=["upper", "twice"]))
    assert store.get("shout").deployment.pipe == ["upper", "pad"]
    assert (await store.scale("shout", replicas=0)).function.ready is None


@pytest.mark.parametrize("mode", ["cgi", "http"])
async def test_a_pipe_has_only_plain_programs_as_stages(store: FunctionStore, mode: str) -> None:
    other = {"wherry.mode": mode}
    await store.deploy(upper(service="web", labels=other))
    await store.deploy(upper())
    await store.deploy(upper(service="pad"))
    with pytest.raises(UsageError, match=f"pipe: 'web' speaks {mode}"):
        await store.deploy(Deployment(service="shout", pipe=["upper", "web"]))
    await store.deploy(Deployment(service="shout", pipe=["upper", "pad"]))
    with pytest.raises(UsageError, match=r"wherry\.mode: .* the pipe 'shout\.openfaas-fn'"):
        await store.deploy(upper(service="pad", labels=other))
    await store.remove("pad")
    with pytest.raises(UsageError, match="a stage of the pipe"):
        await store.deploy(upper(service="pad", labels=other))
    await store.remove("shout")
    assert (await store.deploy(upper(service="pad", labels=other))).settings.mode == mode


async def test_a_pipe_is_no_server(store: FunctionStore) -> None:
    await store.deploy(upper())
    labels = {"wherry.mode": "http"}
    with pytest.raises(UsageError, match=r"wherry\.mode: a pipe is no program"):
        await store.deploy(Deployment(service="twice", pipe=["upper", "upper"], labels=labels))


async def test_a_cancelled_deployment_is_done_or_not_but_never_half(
    store: FunctionStore, tmp_path: Path
) -> None:
    for number in range(20):
        task = asyncio.create_task(store.deploy(upper(service=f"f{number}")))
        for _ in range(number % 5):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    before = store.list()
    store = await again(store, tmp_path)
    assert store.list() == before
    await store.aclose()


async def test_many_deployments_at_once_are_all_kept(store: FunctionStore, tmp_path: Path) -> None:
    names = [f"f{number}" for number in range(50)]
    await asyncio.gather(*(store.deploy(upper(service=name)) for name in names * 2))
    store = await again(store, tmp_path)
    assert {each.name for each in store.list()} == set(names)
    await store.aclose()


async def test_1000_functions_are_found_listed_and_read_again(
    store: FunctionStore, tmp_path: Path
) -> None:
    for number in range(1000):
        await store.deploy(upper(service=f"f{number}", labels={"wherry.timeout": f"{number + 1}"}))
    store = await again(store, tmp_path)
    assert len(store.list()) == 1000
    assert all(store.get(f"f{n}").settings.timeout == n + 1 for n in range(1000))
    with pytest.raises(NotFound, match="no function 'f1000'; did you mean"):
        store.get("f1000")
    await store.aclose()


async def test_only_this_user_reads_the_database(store: FunctionStore, tmp_path: Path) -> None:
    await store.deploy(upper(env_vars={"PASSWORD": "x"}))
    assert tmp_path.joinpath("functions.db").stat().st_mode & 0o777 == 0o600
    assert tmp_path.joinpath("functions.db-wal").stat().st_mode & 0o777 == 0o600


async def test_two_servers_cannot_have_one_store(
    store: FunctionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.functions.database._PATIENCE", 0.01)
    with pytest.raises(EngineError, match=r"functions\.db is in use by another process"):
        await FunctionStore.open(tmp_path)
    await store.deploy(upper())


@pytest.mark.parametrize(
    "content", [b"no database at all" * 100, b"SQLite format 3\0" + b"x" * 9000]
)
async def test_a_damaged_database_says_so_and_what_to_do(tmp_path: Path, content: bytes) -> None:
    tmp_path.joinpath("functions.db").write_bytes(content)
    with pytest.raises(EngineError, match=r"functions\.db is damaged: .*restore it from a backup"):
        await FunctionStore.open(tmp_path)
    assert tmp_path.joinpath("functions.db").read_bytes() == content


async def test_damage_in_the_middle_is_noticed(store: FunctionStore, tmp_path: Path) -> None:
    for number in range(200):
        await store.deploy(upper(service=f"f{number}", env_vars={"A": "x" * 200}))
    await store.aclose()
    path = tmp_path / "functions.db"
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    path.write_bytes(content)
    with pytest.raises(EngineError, match="damaged"):
        await FunctionStore.open(tmp_path)


async def test_a_database_of_a_newer_wherry_is_left_alone(
    store: FunctionStore, tmp_path: Path
) -> None:
    await store.aclose()
    connection = sqlite3.connect(tmp_path / "functions.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(EngineError, match="written by a newer wherry"):
        await FunctionStore.open(tmp_path)


async def test_a_function_that_is_no_longer_understood_does_not_stop_the_others(
    store: FunctionStore, tmp_path: Path
) -> None:
    await store.deploy(upper())
    await store.deploy(upper(service="odd"))
    await store.aclose()
    connection = sqlite3.connect(tmp_path / "functions.db")
    connection.execute("UPDATE functions SET document = '{\"service\": 7}' WHERE name = 'odd'")
    connection.commit()
    connection.close()
    store = await FunctionStore.open(tmp_path)
    assert [each.name for each in store.list()] == ["upper"]
    assert list(store.problems) == ["odd.openfaas-fn"]
    await store.remove("odd")
    assert store.problems == {}
    store = await again(store, tmp_path)
    assert store.problems == {}
    await store.aclose()


async def test_a_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    tmp_path.joinpath("file").write_text("")
    with pytest.raises(EngineError, match="cannot be made: Not a directory"):
        await FunctionStore.open(tmp_path / "file" / "state")


async def test_what_cannot_be_written_is_not_served(store: FunctionStore) -> None:
    before = await store.deploy(upper())
    store._database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(EngineError, match="cannot be used: attempt to write a readonly"):
        await store.deploy(upper(image="alpine"))
    store._database._connection.execute("PRAGMA query_only = OFF")
    assert store.get("upper") is before


async def test_closing_twice_is_harmless(store: FunctionStore) -> None:
    await store.aclose()
    await store.aclose()
