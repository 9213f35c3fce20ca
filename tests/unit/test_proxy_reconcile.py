"""The record and the engine are brought together by what the engine really has."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from wherry.engines.docker.address import Address
from wherry.engines.docker.client import DockerClient
from wherry.proxy.decoder import OBJECT_LIMIT
from wherry.proxy.tenants.ledger import Ledger
from wherry.proxy.tenants.model import Amounts, Owned, Tenant
from wherry.proxy.tenants.reconcile import Reconcile
from wherry.proxy.tenants.registry import Registry

MOST = Amounts(containers=5, memory=10**12)


class Engine:
    """Answers what a comparison asks for, over a socket."""

    def __init__(self) -> None:
        self.containers: list[dict[str, Any]] = []
        self.images: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.removed: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, target = head.split(b" ", 2)[:2]
            status, body = self._answer(method.decode(), target.decode())
            start = (
                f"HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            writer.write(start.encode() + body)
            await writer.drain()

    def _answer(self, method: str, target: str) -> tuple[int, bytes]:
        path = target.partition("?")[0].removeprefix("/v1.41")
        known = {each["Id"]: each for each in self.containers}
        if method == "DELETE":
            self.removed.append(path.rpartition("/")[2])
            return 204, b""
        match path.split("/")[1:]:
            case ["_ping"]:
                return 200, b"OK"
            case ["containers", "json"]:
                return 200, json.dumps(self.containers).encode()
            case ["images", "json"]:
                return 200, json.dumps(self.images).encode()
            case ["networks"]:
                return 200, b"[]"
            case ["volumes"]:
                return 200, json.dumps({"Volumes": self.volumes or None}).encode()
            case ["containers", id_, "json"] if id_ in known:
                return 200, json.dumps(known[id_]).encode()
        return 404, b'{"message": "none"}'


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "r")
    registry.put(Tenant(name="ci", created=1.0))
    return registry


@asynccontextmanager
async def comparing(registry: Registry, engine: Engine, place: Path) -> AsyncIterator[Reconcile]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await engine(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_unix_server(serve, str(place / "e.sock"))
    client = DockerClient(Address(scheme="unix", path=str(place / "e.sock")))
    try:
        yield Reconcile(registry, client)
    finally:
        await client.aclose()
        server.close()
        await server.wait_closed()
        registry.close()


def own(registry: Registry, id_: str) -> None:
    registry.record(Owned(kind="container", id=id_, tenant="ci", created=1.0,
                          amounts=Amounts(containers=1)))  # fmt: skip


async def test_what_is_too_large_for_the_list_is_not_forgotten(
    registry: Registry, tmp_path: Path
) -> None:
    engine = Engine()
    engine.containers = [{"Id": "large", "Labels": {"a": "x" * OBJECT_LIMIT}}, {"Id": "small"}]
    for id_ in ("large", "small", "gone"):
        own(registry, id_)
    async with comparing(registry, engine, tmp_path) as compare:
        await compare.all(adopt=False)
        assert registry.ids("ci", "container") == {"large", "small"}


async def test_what_an_engine_may_yet_make_stays_reserved_until_it_is_late(
    registry: Registry, tmp_path: Path
) -> None:
    engine = Engine()
    reserved = Ledger(registry, allowed=lambda _: MOST).reserve("ci", "container", name="web")
    labels = {"wherry.proxy.instance": registry.instance, "wherry.proxy.nonce": reserved.nonce}
    async with comparing(registry, engine, tmp_path) as compare:
        await compare.all(adopt=True)
        assert registry.uses("ci").containers == 1
        volume = {"Type": "volume", "Name": "e" * 64}
        engine.containers = [{"Id": "made", "Labels": labels, "Mounts": [volume]}]
        engine.volumes = [{"Name": "e" * 64}]
        await compare.all(adopt=False)
        assert [each.name for each in registry.owned("ci", "container")] == ["web"]
        assert [each.container for each in registry.owned("ci", "volume")] == ["made"]
        assert registry.uses("ci").containers == 1


async def test_what_was_never_made_is_given_back(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger(registry, allowed=lambda _: MOST).reserve("ci", "container")
    long_after = time.time() + 1000
    async with comparing(registry, Engine(), tmp_path) as compare:
        monkeypatch.setattr(time, "time", lambda: long_after)
        await compare.all(adopt=True)
        assert registry.uses("ci") == Amounts()


async def test_what_is_made_for_a_tenant_that_has_ended_meanwhile_is_removed(
    registry: Registry, tmp_path: Path
) -> None:
    engine = Engine()
    reserved = Ledger(registry, allowed=lambda _: MOST).reserve("ci", "container")
    labels = {"wherry.proxy.instance": registry.instance, "wherry.proxy.nonce": reserved.nonce}
    async with comparing(registry, engine, tmp_path) as compare:
        await compare.all(adopt=True)
        registry.remove("ci")
        engine.containers = [{"Id": "late", "Labels": labels}, {"Id": "others", "Labels": {}}]
        await compare.all(adopt=False)
        assert engine.removed == ["late"]
        assert registry.pending() == []


async def test_only_what_a_build_of_ours_has_left_is_removed_and_not_while_one_goes_on(
    registry: Registry, tmp_path: Path
) -> None:
    """Whatever the engine lists: it is looked at again."""
    engine = Engine()
    mark = {"wherry.proxy.build": registry.instance, "wherry.proxy.tenant": "ci"}
    engine.images = [
        {"Id": "step", "Labels": mark},
        {"Id": "made", "Labels": {**mark, "wherry.proxy.build": ""}},
        {"Id": "foreign", "Labels": {**mark, "wherry.proxy.build": "0" * 32}},
        {"Id": "public", "Labels": None},
    ]
    engine.containers = [{"Id": "broken", "Labels": mark}, {"Id": "web", "Labels": {}}]
    ledger = Ledger(registry, allowed=lambda _: Amounts(images=1))
    async with comparing(registry, engine, tmp_path) as compare:
        with ledger.reserve("ci", "image"):
            await compare.all(adopt=False)
            assert engine.removed == []
            registry.give_up(registry.pending()[0].nonce)
        await compare.all(adopt=False)
        assert engine.removed == ["broken", "step"]
