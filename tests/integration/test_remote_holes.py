"""What was open in the original is closed here: tried on a real engine, with real payloads."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.support.remote_server import RemoteClient, remote_server

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root
_MIB = 1024 * 1024


def resident() -> int:
    """Return the bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
async def client(dockerd: Dockerd) -> AsyncIterator[RemoteClient]:
    async with remote_server(dockerd.unix, mounts=("/tmp/**",)) as client:
        yield client


def payloads(marker: Path) -> list[str]:
    touch = f"touch {marker}"
    return [f";{touch};", f"$({touch})", f"`{touch}`", f"|{touch}", f"&& {touch}", f"\n{touch}\n",
            f"'; {touch}; '", f'"; {touch}; "', f"x --entrypoint {touch}",
            "x --privileged -v /:/host", "--privileged", "-v=/:/host", "--help",
            "${IFS}id"]  # fmt: skip


def everywhere(payload: str) -> list[tuple[str, str, Mapping[str, Any] | None]]:
    """Return requests with the payload in every place that takes words but the command."""
    path = quote(payload, safe="")
    run = {"image": "busybox", "data": "true", "remove": True}
    return [
        ("PUT", "/", run | {"image": payload}),
        ("PUT", "/", run | {"image": f"busybox {payload}"}),
        ("PUT", "/", run | {"name": payload}),
        ("PUT", "/", run | {"name": f"x {payload}"}),
        ("PUT", "/", run | {"ports": {payload: "80"}}),
        ("PUT", "/", run | {"ports": {"80": payload}}),
        ("PUT", "/", run | {"volumes": {payload: "/data"}}),
        ("PUT", "/", run | {"volumes": {"/tmp/x": payload}}),
        ("PUT", "/", run | {"network": payload}),
        ("PUT", "/", run | {"user": payload}),
        ("PUT", "/", run | {"memory": payload}),
        ("PUT", "/", run | {"workdir": payload}),
        ("PUT", "/", run | {"capabilities": payload}),
        ("GET", f"/{path}", None),
        ("DELETE", f"/{path}", None),
        ("POST", f"/{path}", {"data": "ls"}),
        ("HEAD", f"/{path}", None),
    ]


async def test_no_word_reaches_a_shell_or_becomes_an_option(
    client: RemoteClient, dockerd: Dockerd, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    before = dockerd.request("GET", "/containers/json?all=1")
    for payload in payloads(marker):
        for method, path, body in everywhere(payload):
            reply = await client.ask(method, path, body)
            assert reply.status == 400, (method, path, body, reply.body)
            assert b"Traceback" not in reply.body
            assert b".py" not in reply.body
    assert not marker.exists()
    assert dockerd.request("GET", "/containers/json?all=1") == before


async def test_a_command_is_words_for_the_program_and_nothing_else(
    client: RemoteClient, tmp_path: Path
) -> None:
    marker, name = tmp_path / "marker", f"hole-{uuid.uuid4().hex[:8]}"
    words = payloads(marker)
    box = {"image": "busybox", "name": name, "detach": True, "data": "sleep 1000"}
    await client.ask("PUT", "/", box)
    try:
        reply = await client.ask("POST", f"/{name}", {"data": ["printf", "%s|", *words]})
        assert reply.json["raw"] == "".join(f"{word}|" for word in words)
        form = f"data=echo $(touch {marker}) `touch {marker}` ; touch {marker} > {marker}"
        reply = await client.ask("POST", f"/{name}", form)
        assert reply.json["raw"] == f"{form.removeprefix('data=echo ')}\n"
        run = {"image": "busybox", "remove": True, "data": ["printf", "%s|", *words]}
        assert (await client.ask("PUT", "/", run)).json["raw"] == reply_of(words)
    finally:
        await client.ask("DELETE", f"/{name}")
    assert not marker.exists()


def reply_of(words: list[str]) -> str:
    return "".join(f"{word}|" for word in words)


async def test_options_in_a_command_are_the_programs_own(
    client: RemoteClient, dockerd: Dockerd
) -> None:
    name = f"hole-{uuid.uuid4().hex[:8]}"
    words = ["echo", "--privileged", "-v", "/:/host", "--network=host"]
    try:
        reply = await client.ask("PUT", "/", {"image": "busybox", "name": name, "data": words})
        assert reply.json["raw"] == "--privileged -v /:/host --network=host\n"
        config = json.loads(dockerd.request("GET", f"/containers/{name}/json"))["HostConfig"]
        assert not config["Privileged"]
        assert config["Binds"] is None
        assert config["NetworkMode"] == "default"
    finally:
        await client.ask("DELETE", f"/{name}")


async def test_a_program_that_writes_without_end_is_bounded_in_time_and_memory(
    dockerd: Dockerd,
) -> None:
    name = f"hole-{uuid.uuid4().hex[:8]}"
    fields = {"image": "busybox", "name": name, "remove": True, "data": "yes", "timeout": 30}
    async with remote_server(dockerd.unix, output_limit=_MIB) as client:
        await client.ask("GET")
        before = resident()
        reply = await client.ask("PUT", "/", fields)
        assert reply.status == 500
        assert "1048576 bytes" in reply.json["error"]
        assert resident() - before < 40 * _MIB
        async with asyncio.timeout(30):
            while name in (await client.ask("GET")).body.decode():
                await asyncio.sleep(0.05)


async def test_long_logs_are_never_held_as_a_whole(dockerd: Dockerd) -> None:
    name = f"hole-{uuid.uuid4().hex[:8]}"
    script = "yes $(seq -s, 4000) | head -c 20000000"
    async with remote_server(dockerd.unix, output_limit=_MIB) as client:
        box = {"image": "busybox", "name": name, "detach": True, "data": ["sh", "-c", script]}
        await client.ask("PUT", "/", box)
        try:
            async with asyncio.timeout(60):
                while "Exited" not in (await client.ask("GET")).body.decode():
                    await asyncio.sleep(0.05)
            reply = await client.ask("GET", f"/{name}")
            assert reply.headers["transfer-encoding"] == "chunked"
            assert len(reply.json["raw"]) == 20_000_000
        finally:
            await client.ask("DELETE", f"/{name}")
