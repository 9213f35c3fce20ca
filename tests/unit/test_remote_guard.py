"""Policy, ownership, quota and audit around containers that are only remembered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from wherry.errors import NotFound
from wherry.models import Exit, Output
from wherry.remote.audit import Audit
from wherry.remote.faults import Fault, Forbidden
from wherry.remote.guard import Guarded
from wherry.remote.model import (
    NO_TEXT,
    Caller,
    ExecRequest,
    LogsRequest,
    PullRequest,
    Row,
    Running,
    RunRequest,
    Volume,
)
from wherry.remote.policy_file import Policies, read_policies

ALICE = Caller(name="alice", is_admin=False, address="192.0.2.1")
BOB = Caller(name="bob", is_admin=False)
ADMIN = Caller(name="operator")


class Remembered:
    """Containers that only exist here."""

    def __init__(self) -> None:
        self.made: dict[str, tuple[str, Mapping[str, str]]] = {}
        self.touched: list[tuple[str, str]] = []
        self.pause: asyncio.Event | None = None

    async def list(self, caller: Caller, *, labels: Mapping[str, str] = NO_TEXT) -> Sequence[Row]:
        return [
            Row(id=id_, name=name, labels=own, columns={"names": name})
            for id_, (name, own) in self.made.items()
            if labels.items() <= own.items()
        ]

    @asynccontextmanager
    async def logs(
        self, caller: Caller, request: LogsRequest
    ) -> AsyncIterator[AsyncIterator[Output]]:
        self.touched.append(("logs", request.container))

        async def nothing() -> AsyncIterator[Output]:
            return
            yield

        yield nothing()

    @asynccontextmanager
    async def run(self, caller: Caller, request: RunRequest) -> AsyncIterator[Running]:
        id_ = await self.detach(caller, request)
        yield Running(id_, ended())

    async def detach(self, caller: Caller, request: RunRequest) -> str:
        if self.pause is not None:
            await self.pause.wait()
        id_ = f"{len(self.made):064x}"
        self.made[id_] = (request.name, request.labels)
        return id_

    @asynccontextmanager
    async def exec(self, caller: Caller, request: ExecRequest) -> AsyncIterator[Running]:
        self.touched.append(("exec", request.container))
        yield Running(request.container, ended())

    async def remove(self, caller: Caller, container: str) -> None:
        self.touched.append(("remove", container))
        del self.made[container]

    async def pull(self, caller: Caller, request: PullRequest) -> None:
        self.touched.append(("pull", request.image))

    async def inspect(self, caller: Caller, container: str) -> Mapping[str, Any]:
        for id_, (name, labels) in self.made.items():
            if container in (name, id_):
                return {"Id": id_, "Config": {"Labels": dict(labels)}}
        raise NotFound(f"the engine's words about {container}")


async def ended() -> AsyncIterator[Output | Exit]:
    yield Exit(0)


def guarded(
    path: Path | None = None, *, policy: dict[str, Any] | None = None
) -> tuple[Guarded, Remembered]:
    below = Remembered()
    policies = read_policies(policy) if policy else Policies()
    return Guarded(below, policies=policies, audit=Audit(path)), below


async def made_by(guard: Guarded, caller: Caller, *, name: str) -> str:
    return await guard.detach(caller, RunRequest(image="busybox", name=name, detach=True))


async def test_everybody_sees_their_own_and_an_administrator_everything() -> None:
    guard, _ = guarded()
    await made_by(guard, ALICE, name="a")
    await made_by(guard, BOB, name="b")
    for caller, names in ((ALICE, {"a"}), (BOB, {"b"}), (ADMIN, {"a", "b"})):
        assert {row.name for row in await guard.list(caller)} == names


@pytest.mark.parametrize("verb", ["logs", "exec", "remove", "inspect"])
async def test_what_is_somebody_elses_looks_as_if_it_did_not_exist(verb: str) -> None:
    guard, below = guarded()
    theirs = await made_by(guard, BOB, name="theirs")
    for name in ("theirs", theirs):
        with pytest.raises(NotFound) as other:
            await touch(guard, ALICE, verb, name)
        with pytest.raises(NotFound) as absent:
            await touch(guard, ALICE, verb, "absent")
        assert str(other.value) == f"No such container: {name}"
        assert str(absent.value) == "No such container: absent"
    assert below.touched == []
    for caller in (BOB, ADMIN):
        await touch(guard, caller, verb, "theirs")
        if verb != "inspect":
            assert below.touched.pop() == (verb, theirs)
        if verb == "remove":
            theirs = await made_by(guard, BOB, name="theirs")


async def touch(guard: Guarded, caller: Caller, verb: str, name: str) -> None:
    match verb:
        case "logs":
            async with guard.logs(caller, LogsRequest(container=name)):
                pass
        case "exec":
            async with guard.exec(caller, ExecRequest(container=name, command=("id",))):
                pass
        case "remove":
            await guard.remove(caller, name)
        case "inspect":
            await guard.inspect(caller, name)


async def test_as_many_containers_as_may_even_when_they_are_asked_for_at_once() -> None:
    guard, below = guarded(policy={"default": {"limits": {"containers": 3}}})
    below.pause = asyncio.Event()
    asked = [asyncio.create_task(made_by(guard, ALICE, name=f"c{n}")) for n in range(10)]
    await asyncio.sleep(0)
    below.pause.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(answer, str) for answer in answers) <= 3
    assert all(answer.status == 429 for answer in answers if isinstance(answer, Fault))
    while len(below.made) < 3:
        await made_by(guard, ALICE, name=f"more{len(below.made)}")
    with pytest.raises(Fault, match="may have 3"):
        await made_by(guard, ALICE, name="one more")
    await made_by(guard, BOB, name="bobs")
    await guard.remove(ALICE, next(iter(below.made)))
    async with guard.run(ALICE, RunRequest(image="busybox", name="again")) as running:
        assert running.id in below.made


async def test_who_did_what_is_on_record_and_what_was_asked_is_not(tmp_path: Path) -> None:
    path = tmp_path / "audit"
    guard, _ = guarded(path)
    secret = RunRequest(
        image="busybox", name="box", command=("echo", "hunter2"), env={"PASSWORD": "hunter2"}
    )
    async with guard.run(ALICE, secret) as running:
        pass
    mounting = RunRequest(
        image="busybox", name="box2", volumes=(Volume(source="/hunter2", target="/x"),)
    )
    with pytest.raises(Forbidden):
        await guard.detach(ALICE, mounting)
    with pytest.raises(NotFound):
        await guard.remove(BOB, "box")
    await guard.pull(ALICE, PullRequest(image="redis"))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["token"], line["verb"], line["verdict"]) for line in lines] == [
        ("alice", "run", "allowed"),
        ("alice", "run", "denied"),
        ("bob", "remove", "failed"),
        ("alice", "pull", "allowed"),
    ]
    assert lines[0]["container"] == running.id
    assert lines[1]["reason"] == "volumes"
    assert "hunter2" not in path.read_text()
