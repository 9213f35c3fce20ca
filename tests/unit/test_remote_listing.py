"""The list of an engine, read as it is told; one that cannot be read is the engine's failure."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from wherry.errors import EngineError
from wherry.remote.listing import listed

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient

ID = "0123456789abcdef" * 4


class Told:
    """What is used of a ``DockerClient``: an engine that always tells the same."""

    address = "unix:///x.sock"

    def __init__(self, answer: object) -> None:
        self.answer = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.query: dict[str, Any] = {}

    async def request(self, method: str, path: str, *, query: dict[str, Any]) -> None:
        assert (method, path) == ("GET", "/containers/json")
        self.query = query

    @asynccontextmanager
    async def open(self, request: None) -> AsyncIterator[Told]:
        yield self

    async def read(self) -> bytes:
        return self.answer


def rows(told: Told, **labels: str) -> Any:
    return listed(cast("DockerClient", told), labels=labels, now=1120.0)


async def test_an_engine_may_leave_out_what_it_does_not_have() -> None:
    full = {
        "Id": ID, "Names": ["/box", "/web/link"], "Image": "busybox",
        "ImageID": "sha256:" + "9" * 64,
        "Command": "sleep 1", "Created": 1000, "State": "running", "Status": "Up 2 minutes",
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 81, "Type": "tcp"},
                  {"PrivatePort": 90, "Type": "udp"}],
        "Labels": {"a": "b"}, "Mounts": [{"x": None}],
    }  # fmt: skip
    bare = {"Id": ID, "Names": None, "Ports": None, "Labels": None}
    first, second = await rows(Told([full, bare]))
    assert (first.id, first.name, first.labels) == (ID, "box", {"a": "b"})
    assert first.columns == {
        "container id": "0123456789ab", "image": "busybox", "command": '"sleep 1"',
        "created": "2 minutes ago", "status": "Up 2 minutes",
        "ports": "90/udp, 0.0.0.0:81->80/tcp", "names": "box",
    }  # fmt: skip
    assert (second.name, second.labels, second.columns["image"]) == ("", {}, "<no image>")


async def test_labels_are_the_engines_to_look_for() -> None:
    told = Told([])
    assert await rows(told) == []
    assert told.query == {"all": True, "filters": None}
    await rows(told, owner="me")
    assert json.loads(told.query["filters"]) == {"label": ["owner=me"]}


@pytest.mark.parametrize("answer", [b"{}", b"[1]", b'[{"Id": 1}]', b"[", b"\xff", [{"Names": []}]])
async def test_a_list_that_is_none_is_the_engines_failure(answer: object) -> None:
    with pytest.raises(EngineError, match="its list cannot be read"):
        await rows(Told(answer))
