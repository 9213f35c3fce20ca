"""Tokens, policies and ownership over HTTP, on a real Docker engine; and what a kill -9 leaves."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.remote_server import RemoteClient, remote_server
from tests.support.remote_started import remote_process
from tests.support.waiting import wait_until

from wherry.remote.tokens import new_token

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

POLICY = """
[default]
images = ["docker.io/library/busybox:*"]
networks = ["none"]
ports = ["20000-29999"]
address = "127.0.0.1"
limits = { memory = "64m", containers = 2 }

[tokens.ALICE]
mounts = ["/usr/share:ro"]
"""


@dataclass(frozen=True)
class Served:
    admin: RemoteClient
    alice: RemoteClient
    bob: RemoteClient
    audit: Path

    def told(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.audit.read_text().splitlines()]
        return [{**line, "token": line["token"].partition("-")[0]} for line in lines]


@pytest.fixture
async def served(dockerd: Dockerd, tmp_path: Path) -> AsyncIterator[Served]:
    names = [f"{name}-{uuid.uuid4().hex}" for name in ("alice", "bob")]  # of this test alone
    (alice, one), (bob, two) = map(new_token, names)
    (tmp_path / "tokens").write_text(one + two)
    (tmp_path / "policy").write_text(POLICY.replace("ALICE", names[0]))
    settings = {name: tmp_path / name for name in ("tokens", "policy", "audit")}
    async with remote_server(dockerd.unix, strict=True, **settings) as admin:
        others = [RemoteClient(admin.host, admin.port, token=token) for token in (alice, bob)]
        yield Served(admin, others[0], others[1], tmp_path / "audit")


def put(**fields: Any) -> dict[str, Any]:
    usual = {"image": "busybox", "data": ["sleep", "600"], "detach": True, "remove": True}
    return {**usual, "network": "none", **fields}


async def until(true: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, true, seconds=40)


async def test_a_token_sees_and_touches_its_own_containers_alone(served: Served) -> None:
    name = f"mine-{uuid.uuid4().hex}"
    made = await served.alice.ask("PUT", "/", put(name=name))
    assert made.status == 200, made.body
    id_ = made.json["containerId"]
    listed = [(await client.ask("GET")).json for client in (served.alice, served.bob)]
    assert [row["names"] for row in listed[0]] == [name]
    assert listed[1] == []
    for path in (name, id_, id_[:12]):
        for method, target, body in (
            ("GET", f"/{path}", None),
            ("GET", f"/{path}?stream=1", None),
            ("GET", f"/{path}?inspect", None),
            ("POST", f"/{path}", {"data": ["id"]}),
            ("POST", f"/{path}?stream=1", {"data": ["id"]}),
        ):
            theirs = await served.bob.ask(method, target, body)
            absent = await served.bob.ask(method, target.replace(path, "absent"), body)
            assert (theirs.status, absent.status) == (404, 404)
            assert theirs.body.replace(path.encode(), b"absent") == absent.body
        removed = await served.bob.ask("DELETE", f"/{path}")
        assert (removed.status, removed.json["raw"]) == (200, "")
    assert (await served.admin.ask("POST", f"/{name}", {"data": ["true"]})).status == 200
    assert (await served.alice.ask("DELETE", f"/{name}")).json["raw"] == f"{name}\n"
    assert (await served.alice.ask("GET")).json == []


async def test_what_a_policy_does_not_allow_is_not_done(served: Served) -> None:
    for fields, named in (
        ({"image": "evil.example/x"}, "image"),
        ({"image": "alpine"}, "image"),
        ({"volumes": {"/": "/host"}}, "volumes"),
        ({"volumes": {"/usr/share": "/share"}}, "volumes"),
        ({"volumes": {"/var/run/docker.sock": "/docker.sock"}}, "volumes"),
        ({"network": "host"}, "network"),
        ({"network": "bridge"}, "network"),
        ({"ports": {"80": "80"}}, "ports"),
        ({"memory": "65m"}, "memory"),
        ({"capabilities": ["SYS_ADMIN"]}, "capabilities"),
        ({"labels": {"wherry.remote.token": "bob"}}, "labels"),
    ):
        reply = await served.alice.ask("PUT", "/", put(**fields))
        assert reply.status == 403, (fields, reply.body)
        assert reply.json["error"].startswith(named)
    assert (await served.alice.ask("HEAD", "/alpine")).status == 403
    assert (await served.alice.ask("GET")).json == []
    denied = [line for line in served.told() if line["verdict"] == "denied"]
    assert {line["token"] for line in denied} == {"alice"}
    assert {line["verb"] for line in denied} == {"run", "pull"}


async def test_what_a_policy_gives_is_what_a_container_has(
    served: Served, dockerd: Dockerd
) -> None:
    name = f"given-{uuid.uuid4().hex}"
    read_only = {"/usr/share": "/share:ro"}
    made = await served.alice.ask(
        "PUT", "/", put(name=name, volumes=read_only, ports={"20080": "80"}, network="none")
    )
    assert made.status == 200, made.body
    config = json.loads(dockerd.request("GET", f"/containers/{name}/json"))["HostConfig"]
    assert config["Memory"] == 64 * 1024 * 1024
    assert config["PortBindings"] == {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20080"}]}
    assert config["Privileged"] is False
    await served.alice.ask("DELETE", f"/{name}")


async def test_a_token_has_as_many_containers_as_it_may(served: Served) -> None:
    asked = await asyncio.gather(*(served.bob.ask("PUT", "/", put()) for _ in range(5)))
    assert sum(reply.status == 200 for reply in asked) <= 2
    assert {reply.status for reply in asked} <= {200, 429}
    for row in (await served.bob.ask("GET")).json:
        await served.bob.ask("DELETE", f"/{row['names']}")
    assert (await served.bob.ask("PUT", "/", put(name=f"one-{uuid.uuid4().hex}"))).status == 200
    for row in (await served.bob.ask("GET")).json:
        await served.bob.ask("DELETE", f"/{row['names']}")


async def test_the_audit_log_tells_who_and_what_and_no_secret(served: Served) -> None:
    name = f"told-{uuid.uuid4().hex}"
    secret = {"env": {"PASSWORD": "hunter2"}, "data": ["echo", "hunter2"], "detach": False}
    await served.alice.ask("PUT", "/", put(name=name, **secret))
    await served.bob.ask("GET", f"/{name}")
    run, logs = served.told()
    assert (run["token"], run["verb"], run["verdict"]) == ("alice", "run", "allowed")
    assert len(run["container"]) == 64
    assert run["address"] == "127.0.0.1"
    assert (logs["token"], logs["verb"], logs["verdict"]) == ("bob", "logs", "failed")
    assert "hunter2" not in served.audit.read_text()


async def test_containers_in_the_foreground_of_a_server_that_was_killed_end_at_the_next_start(
    dockerd: Dockerd,
) -> None:
    def state(name: str) -> str:
        found = json.loads(dockerd.request("GET", "/containers/json?all=1"))
        return next((item["State"] for item in found if f"/{name}" in item["Names"]), "gone")

    names = [f"killed-{uuid.uuid4().hex}" for _ in range(2)]
    async with remote_process(dockerd) as process:
        server = RemoteClient("127.0.0.1", process.port)
        _, writer = await server.send("PUT", "/", put(name=names[0], detach=False))
        assert (await server.ask("PUT", "/", put(name=names[1]))).status == 200
        await until(lambda: state(names[0]) == "running")
        process.process.send_signal(signal.SIGKILL)
        await process.process.wait()
        writer.close()
    assert [state(name) for name in names] == ["running", "running"]
    async with remote_server(dockerd.unix) as after:
        await until(lambda: state(names[0]) == "gone")
        assert state(names[1]) == "running"
        await after.ask("DELETE", f"/{names[1]}")
