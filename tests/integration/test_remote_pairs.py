"""Clients of DockerServer work unchanged: every request with the whole of its answer."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.oci_layout import build_image
from tests.support.registry import PASSWORD, USER, registry_server
from tests.support.registry_relay import reachable
from tests.support.remote_pairs import PAIRS, Pair
from tests.support.remote_server import RemoteClient, Reply, remote_server
from tests.support.require import require

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root
_ID = re.compile(rb"[0-9a-f]{64}")
_DEBIAN = Path("/usr/bin/docker")
_OURS = {"date", "connection"}


def filled(text: str, word: str) -> str:
    return text.replace("{x}", word).replace("{{", "{").replace("}}", "}")


def filled_body(body: Any, word: str) -> Any:
    if isinstance(body, str):
        return filled(body, word)
    if isinstance(body, Mapping):
        return json.loads(json.dumps(body).replace("{x}", word))
    return body


async def asked(client: RemoteClient, pair: Pair, word: str) -> Reply:
    method, path = pair.ask.split(" ", 1)
    return await client.ask(
        method, filled(path, word), filled_body(pair.body, word), headers=pair.headers
    )


def differs(pair: Pair, reply: Reply, word: str) -> str | None:
    """Say what is other than it should be, in status, headers and body."""
    body = _ID.sub(b"{id}", reply.body.replace(word.encode(), b"{x}"))
    expected = pair.expected.replace(b"{{", b"{").replace(b"}}", b"}")
    headers = {name: value for name, value in reply.headers.items() if name not in _OURS}
    wanted = {} if pair.kind is None else {"content-type": pair.kind}
    if pair.status == 401:
        wanted["www-authenticate"] = "Bearer"
    if pair.ask == "PUT /" and pair.status == 200:
        wanted["x-queue-position"] = "0"
    if not pair.ask.startswith("HEAD"):
        wanted["content-length"] = str(len(reply.body))
    else:
        headers.pop("content-length", None)
    given = (reply.status, headers, body)
    right = (pair.status, wanted, expected)
    return None if given == right else f"{pair.ask} {pair.body}\n  {given}\n  {right}"


async def test_every_request_has_its_answer(dockerd: Dockerd) -> None:
    assert len(PAIRS) >= 60
    word = f"p{uuid.uuid4().hex[:8]}"
    async with remote_server(dockerd.unix) as client:
        wrong = [differs(pair, await asked(client, pair, word), word) for pair in PAIRS]
    assert not any(wrong), "\n".join(filter(None, wrong))


def table_of(dockerd: Dockerd) -> list[dict[str, str]]:
    """Return what the docker command prints, cut at its titles."""
    command = [require("docker") if not _DEBIAN.exists() else str(_DEBIAN),
               "-H", f"unix://{dockerd.socket}", "ps", "-a"]  # fmt: skip
    head, *lines = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+( \S+)*", head)]
    titles = re.findall(r"\S+(?: \S+)*", head)
    ends = [*starts[1:], None]
    return [
        {title.lower(): line[start:end].strip()
         for title, start, end in zip(titles, starts, ends, strict=True)}
        for line in lines
    ]  # fmt: skip


async def test_the_list_is_that_of_the_docker_command(dockerd: Dockerd) -> None:
    word = f"l{uuid.uuid4().hex[:8]}"
    runs: list[dict[str, Any]] = [
        {"detach": True, "data": "sleep 1000", "ports": {"0": "80", "127.0.0.1:": "81/udp"}},
        {"detach": True, "data": ["sh", "-c", 'echo "é\t\\"; sleep 1000'], "labels": {"a": "b"}},
        {"data": "true"},
        {"data": "nothere"},
        {"detach": True, "data": "sleep 1000", "ports": {"20080": 20080, "20081": 20081}},
    ]
    async with remote_server(dockerd.unix) as client:
        for number, fields in enumerate(runs):
            await client.ask("PUT", "/", {"image": "busybox", "name": f"{word}-{number}", **fields})
        try:
            async with asyncio.timeout(30):
                while True:  # an age may change between the two
                    theirs = await asyncio.to_thread(table_of, dockerd)
                    ours = (await client.ask("GET")).json
                    if [row for row in ours if word in row["names"]] == [
                        row for row in theirs if word in row["names"]
                    ]:
                        break
        finally:
            for number in range(len(runs)):
                await client.ask("DELETE", f"/{word}-{number}")
    mine = [row for row in ours if word in row["names"]]
    assert len(mine) == len(runs)
    assert list(mine[0]) == [
        "container id", "image", "command", "created", "status", "ports", "names"
    ]  # fmt: skip


async def test_an_image_is_pulled_by_raw_and_by_encoded_slashes(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    with registry_server(tmp_path) as registry:
        registry.put_image(build_image(), "ferry/remote/busybox", "latest")
        image = f"{registry.host}/ferry/remote/busybox"
        async with reachable(dockerd, registry), remote_server(dockerd.unix) as client:
            for path in (image, image.replace("/", "%2F").replace(":", "%3A")):
                reply = await client.ask("HEAD", f"/{path}")
                assert (reply.status, reply.body) == (200, b"")
                dockerd.request("GET", f"/images/{image}/json")
                dockerd.request("DELETE", f"/images/{image}?force=1")
            assert (await client.ask("HEAD", f"/{image}:nope")).status == 500
            fields = {"image": image, "data": "echo pulled", "remove": True}
            assert (await client.ask("PUT", "/", fields)).json["raw"] == "pulled\n"
        async with remote_server(dockerd.unix, strict=True) as client:
            dockerd.request("DELETE", f"/images/{image}?force=1")
            async with reachable(dockerd, registry):
                assert (await client.ask("HEAD", f"/{image}:nope")).status == 404


async def test_credentials_come_with_the_request_and_with_the_pull(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    secret = {"username": USER, "password": PASSWORD}
    encoded = base64.urlsafe_b64encode(json.dumps(secret).encode()).decode()
    with registry_server(tmp_path, authenticated=True) as registry:
        registry.put_image(build_image(), "ferry/private", "latest")
        image = f"{registry.host}/ferry/private"
        run: dict[str, Any] = {"image": image, "data": "echo pulled", "remove": True}
        async with reachable(dockerd, registry), remote_server(dockerd.unix, strict=True) as client:
            assert (await client.ask("HEAD", f"/{image}")).status == 422
            assert (await client.ask("PUT", "/", run)).status == 422
            wrong = await client.ask("PUT", "/", run | {"credentials": secret | {"password": "x"}})
            assert wrong.status == 422
            reply = await client.ask("PUT", "/", run | {"credentials": secret})
            assert (reply.status, reply.json["raw"]) == (200, "pulled\n")
            assert PASSWORD.encode() not in reply.body + wrong.body
            dockerd.request("DELETE", f"/images/{image}?force=1")
            login = {"x-registry-auth": encoded}
            assert (await client.ask("HEAD", f"/{image}", headers=login)).status == 200
            assert (
                await client.ask("HEAD", f"/{image}", headers={"x-registry-auth": "!"})
            ).status == 400
            dockerd.request("DELETE", f"/images/{image}?force=1")
