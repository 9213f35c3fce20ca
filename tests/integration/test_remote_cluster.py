"""Three servers with three engines that answer as one, and what harms one of them."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.certificates import make_certificates
from tests.support.cluster_nodes import ClusterNode, Heard, cluster, engines, together
from tests.support.waiting import wait_until

from wherry.remote.cluster.directory import Node
from wherry.remote.cluster.peers import NotAsked, Peers
from wherry.remote.cluster.seal import Seal
from wherry.remote.cluster.trust import trust
from wherry.remote.model import Call, Caller

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

REFRESH = 1.2
BOUND = 30.0
"""Seconds: what a request may take while a node is silent; about 8 on an idle machine."""
SLEEP = {"image": "busybox", "detach": True, "data": ["sleep", "600"]}


@pytest.fixture(scope="module")
def dockerds(dockerd: Dockerd) -> Iterator[list[Dockerd]]:
    with engines(dockerd, count=3) as running:
        yield running


@pytest.fixture(scope="module")
def running(
    dockerds: list[Dockerd], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ClusterNode]]:
    options = ("--refresh_rate", f"{REFRESH * 1000:g}", "--cache_interval", "50",
               "--low_burst", "0", "--high_burst", "0", "--mid_burst", "0")  # fmt: skip
    with cluster(tmp_path_factory.mktemp("cluster"), dockerds, *options) as nodes:
        yield nodes


@pytest.fixture
def nodes(running: list[ClusterNode]) -> Iterator[list[ClusterNode]]:
    """Give all three, alive and knowing each other; afterwards their containers are gone."""
    yield running
    for node in running:
        if node.process is None or node.process.poll() is not None:
            node.start()
    together(running)
    for name in listed(running[0]):
        running[0].ask("DELETE", f"/{name}")


def shared(node: ClusterNode) -> Path:
    return node.directory.parent / "shared"


def balance(nodes: list[ClusterNode], *loads: float) -> None:
    """Give every node a load, and wait until all of them have written it down."""
    for node, load in zip(nodes, loads, strict=True):
        node.load(load)
    wait_until(lambda: [written(node) for node in nodes] == list(loads))
    time.sleep(0.06)  # longer than the cache interval, which is one of time


def written(node: ClusterNode) -> float:
    return float(json.loads((shared(node) / node.state).read_text())["load"])


def listed(node: ClusterNode) -> dict[str, str]:
    """Return which of these tests' containers run on which host, as a node tells it."""
    return named(node.ask("GET", seconds=BOUND))


def named(heard: Heard) -> dict[str, str]:
    return {row["names"]: row["host"] for row in heard.json if row["names"].startswith("test-")}


def run(node: ClusterNode, **fields: object) -> tuple[str, Heard]:
    name = f"test-{uuid.uuid4()}"
    return name, node.ask("PUT", "/", {**SLEEP, "name": name, **fields}, seconds=BOUND)


def test_a_container_runs_on_the_least_loaded_node_and_every_node_answers_for_all(
    nodes: list[ClusterNode],
) -> None:
    names = []
    for least in nodes:
        balance(nodes, *(0.1 if node is least else 0.6 for node in nodes))
        for asked in nodes[:2]:
            name, heard = run(asked, data=["sh", "-c", "echo hello; sleep 600"])
            assert heard.status == 200, heard.body
            assert len(heard.json["containerId"]) == 64
            assert [node.has(name) for node in nodes] == [node is least for node in nodes]
        names.append(name)
    for node in nodes:
        rows = listed(node)
        assert len(rows) == 6
        assert [rows[name] for name in names] == [each.url for each in nodes]
        assert node.ask("HEAD").headers["docker-server-nodes"] == "3"
    for name, home in zip(names, nodes, strict=True):
        for asked in nodes[1:]:
            wait_until(lambda: asked.ask("GET", f"/{name}").json["raw"] == "hello\n")  # noqa: B023
            logs = asked.ask("GET", f"/{name}").json
            assert (logs["command"], logs["host"]) == (f"docker logs {name}", home.url)
            done = asked.ask("POST", f"/{name}", {"data": ["echo", "hi"]})
            assert (done.status, done.json["raw"], done.json["host"]) == (200, "hi\n", home.url)


def test_a_removal_reaches_the_node_that_has_the_container(nodes: list[ClusterNode]) -> None:
    balance(nodes, 0.6, 0.1, 0.6)
    name, _ = run(nodes[0])
    removed = nodes[2].ask("DELETE", f"/{name}")
    assert (removed.status, removed.json["host"]) == (200, nodes[1].url)
    assert removed.json["raw"].strip() == name
    assert not nodes[1].has(name)
    gone = nodes[2].ask("DELETE", f"/{name}")
    assert (gone.status, gone.json["raw"], gone.failed) == (200, "", "")
    missing = nodes[0].ask("GET", f"/{name}")
    assert (missing.status, [each["code"] for each in missing.json["nodes"]]) == (500, [500] * 3)


def test_an_image_is_looked_for_by_every_node(nodes: list[ClusterNode]) -> None:
    heard = nodes[0].ask("HEAD", "/127.0.0.1:9/nobody/has:this")
    assert (heard.status, heard.body) == (500, b"")
    assert heard.headers["docker-server-nodes"] == "3"


def test_output_in_the_foreground_comes_from_the_node_that_ran_it(nodes: list[ClusterNode]) -> None:
    balance(nodes, 0.6, 0.1, 0.6)
    _, heard = run(nodes[0], detach=False, remove=True, data=["echo", "from afar"])
    assert (heard.status, heard.json["raw"]) == (200, "from afar\n")
    assert heard.headers["docker-server-host"] == nodes[1].url
    _, failed = run(nodes[0], detach=False, remove=True, data=["sh", "-c", "exit 3"])
    assert (failed.status, failed.json["code"]) == (500, 500)


def test_a_client_that_leaves_ends_its_container_on_the_other_node(
    nodes: list[ClusterNode],
) -> None:
    balance(nodes, 0.6, 0.1, 0.6)
    name = f"test-{uuid.uuid4()}"
    connection = nodes[0].connect()
    fields = {"image": "busybox", "name": name, "remove": True, "data": ["sleep", "600"]}
    connection.request("PUT", "/", body=json.dumps(fields), headers=nodes[0].headers)
    wait_until(lambda: nodes[1].has(name))
    connection.close()
    wait_until(lambda: not nodes[1].has(name))


def test_a_node_that_was_killed_costs_nobody_an_answer(nodes: list[ClusterNode]) -> None:
    balance(nodes, 0.3, 0.1, 0.2)
    names = [run(node)[0] for node in nodes]
    assert all(nodes[1].has(name) for name in names)
    nodes[1].kill()
    name, heard = run(nodes[0])
    assert heard.status == 200, heard.body
    assert nodes[2].has(name)
    heard = nodes[0].ask("GET", seconds=BOUND)
    assert list(named(heard)) == [name]
    assert nodes[1].url in heard.failed
    assert nodes[0].ask("DELETE", f"/{name}", seconds=BOUND).json["raw"].strip() == name

    nodes[1].start()
    together(nodes)
    assert set(listed(nodes[0])) == set(names)


def test_what_a_killed_node_took_is_not_done_again_elsewhere(nodes: list[ClusterNode]) -> None:
    balance(nodes, 0.3, 0.1, 0.2)
    name = f"test-{uuid.uuid4()}"
    fields = {"image": "busybox", "name": name, "data": ["sleep", "600"]}
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(nodes[0].ask, "PUT", "/", fields)
        wait_until(lambda: nodes[1].has(name))
        nodes[1].kill()
        heard = asking.result(BOUND)
    assert heard.status == 500
    assert nodes[1].url in heard.json["error"]
    assert "may have carried it out" in heard.json["error"]
    assert not nodes[0].has(name)
    assert not nodes[2].has(name)


def test_a_node_that_stands_still_is_passed_over_in_bounded_time_and_runs_nothing_later(
    nodes: list[ClusterNode],
) -> None:
    balance(nodes, 0.3, 0.1, 0.0)
    other, _ = run(nodes[1])
    balance(nodes, 0.3, 0.1, 0.2)
    kept, _ = run(nodes[2])
    with nodes[1].frozen():
        with ThreadPoolExecutor(2) as threads:
            putting = threads.submit(run, nodes[0])
            heard = nodes[0].ask("GET", seconds=BOUND)
            name, put = putting.result(BOUND)
        assert other in named(heard)
        assert kept not in named(heard)
        assert nodes[1].url in heard.failed
        assert put.status == 200, put.body
        assert nodes[2].has(name)
        assert nodes[0].ask("GET", f"/{other}", seconds=BOUND).status == 200
    together(nodes)
    assert nodes[1].has(kept)
    assert not nodes[1].has(name)  # it woke up with the request, which nobody waits for


def test_files_that_are_no_states_harm_nobody(nodes: list[ClusterNode]) -> None:
    balance(nodes, 0.3, 0.1, 0.2)
    folder = shared(nodes[0])
    (folder / "readme.txt").write_text("the nodes of our cluster")
    (folder / "evil.json").write_text('{"host": "http://169.254.169.254", "load": 0}')
    os.mkfifo(folder / "pipe.json")
    whole = (folder / nodes[1].state).read_text()
    (folder / nodes[1].state).write_text(whole[: len(whole) // 2])
    name, heard = run(nodes[0])
    assert heard.status == 200, heard.body
    assert sum(node.has(name) for node in nodes) == 1
    assert name in listed(nodes[2])
    together(nodes)  # the node that it is of has written it again
    told = [line for line in nodes[0].said if "evil.json" in line]
    assert len(told) <= 1
    for odd in ("readme.txt", "evil.json", "pipe.json"):
        (folder / odd).unlink()


def test_nodes_leave_and_join_while_they_are_asked(nodes: list[ClusterNode]) -> None:
    balance(nodes, 0.3, 0.1, 0.2)
    heard: list[Heard] = []
    done = False

    def ask() -> None:
        while not done:
            heard.append(nodes[0].ask("GET", seconds=BOUND))
            fields = {"image": "busybox", "remove": True, "data": ["true"]}
            heard.append(nodes[0].ask("PUT", "/", fields, seconds=BOUND))

    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask) for _ in range(2)]
        try:
            nodes[1].stop()
            assert not (shared(nodes[1]) / nodes[1].state).exists()
            nodes[1].start()
            together(nodes)
        finally:
            done = True
        for each in asking:
            each.result(BOUND)
    assert {each.status for each in heard} <= {200}
    assert len(heard) >= 4


async def test_nodes_speak_tls_with_each_other_and_check_certificates(
    dockerds: list[Dockerd], tmp_path: Path
) -> None:
    made = make_certificates(tmp_path)
    options = ("--https", "--cert", str(made.server_cert), "--key", str(made.server_key),
               "--node_ca", str(made.ca), "--refresh_rate", "500", "--cache_interval", "50",
               "--cluster_token", "the nodes' own", "--strict")  # fmt: skip
    with cluster(tmp_path / "tls", dockerds[:2], *options, ca=made.ca) as (one, two):
        balance([one, two], 0.9, 0.1)
        _, heard = run(one, detach=False, remove=True, data=["echo", "hi"])
        assert (heard.status, heard.json["raw"]) == (200, "hi\n")
        assert heard.headers["docker-server-host"] == two.url
        to = Node(host=two.url, load=0.0)
        peers = Peers(seal=Seal("x"), tls=trust(None))
        asked = Call(method="PUT", target="", query={}, fields={}, body=b"x",
                     caller=Caller(name="admin"))  # fmt: skip
        with pytest.raises(NotAsked, match="its certificate is not trusted"):
            await peers.relay(to, asked)
        await peers.aclose()
