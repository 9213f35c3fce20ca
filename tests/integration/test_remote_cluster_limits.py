"""What a client may ask of a cluster: counted once, where it asks, and not where it is done."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.remote_server import RemoteClient, Reply, remote_server

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

FORCE = {"docker-server": "force"}


class Two:
    """Two nodes with one engine; the first one is loaded, so that the second one works."""

    def __init__(self, directory: Path, dockerd: Dockerd, **settings: Any) -> None:
        self.folder = directory / "shared"
        self._directory = directory
        self._spec = dockerd.unix
        self._settings = settings
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> tuple[RemoteClient, RemoteClient]:
        loaded, idle = [await self._node(load) for load in (0.9, 0.1)]
        return loaded, idle

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _node(self, load: float) -> RemoteClient:
        path = self._directory / f"load-{load}"
        path.write_text(str(load))
        server = remote_server(
            self._spec, cluster=True, folder=str(self.folder), load_from=path,
            cache_interval=0.001, **self._settings,
        )  # fmt: skip
        return await self._stack.enter_async_context(server)


@pytest.fixture
def made(dockerd: Dockerd, tmp_path: Path) -> Callable[..., Two]:
    return lambda **settings: Two(tmp_path, dockerd, **settings)


async def run(node: RemoteClient, **headers: str) -> Reply:
    fields = {"image": "busybox", "remove": True, "data": ["true"]}
    return await node.ask("PUT", "/", fields, headers=headers)


async def test_a_request_is_counted_where_it_comes_in_and_not_where_it_is_done(
    made: Callable[..., Two],
) -> None:
    async with made(low_burst=3, high_burst=3) as (loaded, idle):
        for left in (2, 1, 0):
            heard = await run(loaded)
            assert (heard.status, heard.headers["x-ratelimit-remaining"]) == (200, str(left))
            assert heard.headers["docker-server-host"] == idle.url
        refused = await run(loaded)
        assert refused.status == 429
        assert refused.body == b"Too many requests, please try again later."
        # At the node that has worked for the other one nothing has been counted.
        heard = await idle.ask("HEAD", "/")
        assert heard.headers["x-ratelimit-remaining"] == "2"
        heard = await run(idle)
        assert (heard.status, heard.headers["x-ratelimit-remaining"]) == (200, "2")


async def test_no_word_of_a_client_skips_a_limit(made: Callable[..., Two]) -> None:
    async with made(high_burst=2) as (loaded, idle):
        host = json.loads(next(Path(made().folder).glob(f"*{idle.port}.json")).read_text())
        for extra in ({}, {"docker-server-proof": "0" * 64}):
            heard = await loaded.ask("GET", "/", headers=FORCE | extra)
            assert heard.status == 200
            assert "docker-server-nodes" not in heard.headers  # it was done here
        for extra in (
            {},
            {"docker-server-proof": host["key"]},
            {"docker-server-client": "10.9.9.9"},
        ):
            assert (await loaded.ask("GET", "/", headers=FORCE | extra)).status == 429


async def test_a_proof_without_a_token_is_worth_nothing(made: Callable[..., Two]) -> None:
    async with made() as (loaded, _):
        stranger = RemoteClient(loaded.host, loaded.port, token=None)
        assert (await stranger.ask("GET", "/", headers=FORCE)).status == 401


async def test_nodes_with_a_token_of_their_own_take_no_node_without_it(
    made: Callable[..., Two], dockerd: Dockerd, tmp_path: Path
) -> None:
    async with made(cluster_token="the nodes' own") as (loaded, idle):
        assert (await loaded.ask("GET", "/")).headers["docker-server-nodes"] == "2"
        other = remote_server(
            dockerd.unix, cluster=True, folder=str(tmp_path / "shared"), cluster_token="a guess"
        )
        async with other as stranger:
            (tmp_path / "shared" / "evil.json").write_text(
                json.dumps({"host": stranger.url, "load": 0})
            )
            heard = await loaded.ask("GET", "/")
            assert heard.headers["docker-server-nodes"] == "2"
            assert (await stranger.ask("GET", "/")).headers["docker-server-nodes"] == "1"
            assert (await run(loaded)).headers["docker-server-host"] == idle.url


async def test_a_run_that_nobody_waits_for_is_asked_about_at_its_node(
    made: Callable[..., Two],
) -> None:
    async with made() as (loaded, idle):
        heard = await run(loaded, prefer="respond-async")
        assert heard.status == 202
        where = heard.headers["location"]
        assert where.startswith(f"{idle.url}/")
        state = await idle.ask("GET", where.removeprefix(idle.url))
        assert (state.status, state.json["state"] in {"queued", "running", "ended"}) == (200, True)


async def test_tokens_that_differ_throttle_the_client_and_not_the_nodes(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    load = tmp_path / "load"
    load.write_text("0.5")
    more = {"cluster": True, "folder": str(tmp_path / "shared"), "load_from": load,
            "cluster_token": "the nodes' own", "cache_interval": 0.001}  # fmt: skip
    async with (
        remote_server(dockerd.unix, **more) as one,
        remote_server(dockerd.unix, token="another", **more) as other,
    ):
        for _ in range(12):
            status, failed = await asyncio.to_thread(list_from_elsewhere, one)
            assert (status, f"{other.url} (" in failed) == (200, True)
        assert (await asyncio.to_thread(list_from_elsewhere, other))[0] == 429
        assert (await other.ask("GET", "/")).status == 200


def list_from_elsewhere(node: RemoteClient) -> tuple[int, str]:
    """Ask a node from another address of this machine."""
    connection = http.client.HTTPConnection(
        node.host, node.port, timeout=60, source_address=("127.0.0.2", 0)
    )
    try:
        token = base64.b64encode(str(node.token).encode()).decode()
        connection.request("GET", "/", headers={"Authorization": f"Basic {token}"})
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("docker-server-failed", "")
    finally:
        connection.close()
