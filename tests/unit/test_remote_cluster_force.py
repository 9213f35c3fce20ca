"""Requests that one node hands on to another one, and clients who say that they are a node."""

from __future__ import annotations

import pytest
from tests.support.cluster_front import A, Cluster

from wherry.errors import NotFound
from wherry.remote.cluster.forwarded import client_of, handed_on
from wherry.remote.cluster.seal import Seal
from wherry.remote.turns import Full


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


async def test_a_forced_request_is_carried_out_here_whoever_sends_it(cluster: Cluster) -> None:
    cluster.node(A, 0.0)
    for method in ("PUT", "GET", "DELETE"):
        await cluster.ask(method, headers={"docker-server": "force"})
    assert len(cluster.here) == 3
    assert cluster.asked == []


async def test_only_another_node_can_say_that_a_request_is_counted_already(
    cluster: Cluster,
) -> None:
    def client(headers: dict[str, str], *, method: str = "PUT", path: str = "/") -> str | None:
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": path, "headers": raw,
                 "raw_path": path.encode()}  # fmt: skip
        return cluster.front.speaks_for(scope)

    def sealed(secret: str, key: str, target: str = "") -> dict[str, str]:
        return handed_on(
            {"authorization": "Basic x"},
            method="PUT", target=target, client="192.0.2.7", seal=Seal(secret), key=key,
        )  # fmt: skip

    ours = cluster.members.key
    right = sealed("secret", ours)
    assert client(right) == "192.0.2.7"
    assert client(sealed("secret", ours, "a/b:1 %"), path="/a%2Fb%3A1%20%25") == "192.0.2.7"
    assert client({}) is None
    assert client({"docker-server": "force"}) is None
    assert client({"docker-server": "force", "docker-server-proof": "0" * 64}) is None
    assert client(sealed("secret", "another node's key")) is None
    assert client(sealed("a guess", ours)) is None
    assert client(right, method="POST") is None
    assert client(right, path="/web") is None
    assert client({**right, "authorization": "Basic y"}) is None
    assert client({**right, "docker-server-client": "192.0.2.8"}) is None
    assert client({key: right[key] for key in right if key != "docker-server"}) is None


async def test_a_client_cannot_pass_such_words_on_through_a_node() -> None:
    seal = Seal("secret")
    given = {"docker-server-proof": "0" * 64, "docker-server-client": "forged", "host": "x"}
    sent = handed_on(given, method="GET", target="", client="192.0.2.7", seal=seal, key="k")
    assert client_of(sent, method="GET", target="", seal=seal, key="k") == "192.0.2.7"
    assert "host" not in sent
    sent = handed_on(given, method="GET", target="", client="", seal=seal, key=None)
    assert sent == {"docker-server": "force"}


async def test_another_node_is_told_when_a_container_is_missing(cluster: Cluster) -> None:
    cluster.does = lambda _: NotFound("No such container: web")
    headers = handed_on(
        {}, method="GET", target="web", client="", seal=Seal("secret"), key=cluster.members.key
    )
    answer = await cluster.ask("GET", "web", headers=headers)
    assert (answer.status, answer.headers["docker-server-missing"]) == (500, "1")


def test_headers_that_are_no_ascii_are_not_handed_on() -> None:
    sent = handed_on(
        {"x-a": "caf\xe9", "x-b": "tea"},
        method="GET", target="", client="", seal=Seal("secret"), key=None,
    )  # fmt: skip
    assert sent == {"x-b": "tea", "docker-server": "force"}


async def test_another_node_is_told_when_there_is_no_room(cluster: Cluster) -> None:
    cluster.does = lambda _: Full(waiting=3, retry_after=7)
    headers = handed_on(
        {}, method="PUT", target="", client="", seal=Seal("secret"), key=cluster.members.key
    )
    answer = await cluster.ask("PUT", headers=headers)
    assert (answer.status, answer.headers["docker-server-turned-away"]) == (503, "1")
    assert answer.headers["Retry-After"] == "7"
