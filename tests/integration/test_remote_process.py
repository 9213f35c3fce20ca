"""`docker-server` as its operators start it: the documented curl lines, TLS, logs, its end."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.certificates import Certificates, make_certificates
from tests.support.remote_process import SERVER, docker_server
from tests.support.remote_server import RemoteClient, read_reply, remote_server
from tests.support.require import require
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root
TOKEN = "my_secret_token"
ENCODED = base64.b64encode(TOKEN.encode()).decode()
ENVIRON = {"DS_TOKEN": TOKEN}


def curl(line: str, *, url: str, **words: str) -> Any:
    """Run a line of the documentation, with this server's address and token in it."""
    line = line.replace("http://1.2.3.4:1717", url).replace("base64EncodedToken", ENCODED)
    for word, instead in words.items():
        line = line.replace(word.replace("_", "-"), instead)
    made = subprocess.run(
        ["sh", "-c", f"{line} --globoff --silent --show-error --fail"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(made.stdout)


def tag(dockerd: Dockerd, name: str) -> None:
    """Give the engine's busybox another name."""
    dockerd.request("POST", f"/images/busybox/tag?repo={name}&tag=latest")


@pytest.fixture
def _data() -> Iterator[None]:
    """Take the directory away that the engine makes for the documented volume."""
    data = Path("/tmp/data")
    existed = data.exists()
    yield
    if not existed and data.exists():
        data.rmdir()


@pytest.mark.usefixtures("_data")
def test_the_documented_curl_lines_work(dockerd: Dockerd) -> None:
    require("curl")
    tag(dockerd, "redis")
    first, second = f"p-{uuid.uuid4().hex[:8]}", f"v-{uuid.uuid4().hex[:8]}"
    with docker_server("--mounts", "/tmp/data", engine=dockerd.unix, environ=ENVIRON) as server:
        run = curl(
            "curl -X PUT http://1.2.3.4:1717/ -H 'Authorization: Basic base64EncodedToken' "
            "--data 'name=p-redis&image=redis&ports[1234]=6379'",
            url=server.url, p_redis=first,
        )  # fmt: skip
        assert run == {
            "command": f"docker run --name {first} -p 1234:6379 redis", "raw": "", "containerId": ""
        }  # fmt: skip
        run = curl(
            "curl -X PUT http://1.2.3.4:1717/ -H 'Authorization: Basic base64EncodedToken' "
            "--data 'name=v-redis&image=redis&volumes[/tmp/data]=/data'",
            url=server.url, v_redis=second,
        )  # fmt: skip
        assert run["command"] == f"docker run --name {second} -v /tmp/data:/data redis"
        rows = curl(
            "curl -X GET http://1.2.3.4:1717/ -H 'Authorization: Basic base64EncodedToken'",
            url=server.url,
        )
        named = {row["names"]: row for row in rows}
        assert named[first]["image"] == named[second]["image"] == "redis"
        assert named[first]["status"].startswith("Exited (0)")
        bound = json.loads(dockerd.request("GET", f"/containers/{first}/json"))["HostConfig"]
        assert bound["PortBindings"] == {"6379/tcp": [{"HostIp": "", "HostPort": "1234"}]}
        for name in (first, second):
            removed = curl(
                "curl -X DELETE http://1.2.3.4:1717/p-redis "
                "-H 'Authorization: Basic base64EncodedToken'",
                url=server.url, p_redis=name,
            )  # fmt: skip
            assert removed == {"command": f"docker rm -f {name}", "raw": f"{name}\n"}
        wait_until(lambda: sum('"method"' in line for line in server.said) == 5)
    assert TOKEN not in "".join(server.said)
    assert ENCODED not in "".join(server.said)


def started(*options: str, **environ: str) -> tuple[int, str]:
    """Start one that is to refuse; return its exit code and what it said."""
    made = subprocess.run(
        [*SERVER, "--port", "0", *options], env={**os.environ, **environ},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return made.returncode, made.stderr


def test_what_cannot_be_served_safely_is_refused_at_the_start(tmp_path: Path) -> None:
    code, said = started("--https", DS_TOKEN="t", DS_CERT=str(tmp_path / "cert.pem"))
    assert code == 2
    assert f"--cert: {tmp_path}/cert.pem: there is no such file" in said
    assert "ready" not in said
    assert started("--engine", "docker:")[0] == 2
    code, said = started(DS_TOKEN="xxxxxx")
    assert code == 2
    assert "everybody knows" in said
    made = make_certificates(tmp_path)
    code, said = started("--https", "--cert", str(made.server_cert), "--key", str(made.key),
                         DS_TOKEN="t")  # fmt: skip
    assert code == 2
    assert "no certificate and its key" in said


def test_docker_server_tells_its_version_and_its_options() -> None:
    for option, expected in (("--version", "wherry"), ("--help", "--log_lovel")):
        made = subprocess.run(
            [*SERVER, option], capture_output=True, text=True, timeout=60, check=True
        )
        assert expected in made.stdout


def certificates(tmp_path: Path, name: str) -> Certificates:
    (tmp_path / name).mkdir()
    return make_certificates(tmp_path / name)


async def asked_over_tls(port: int, authority: Path) -> bool:
    """Ask for the list on a new connection; whether the authority certifies the server."""
    context = ssl.create_default_context(cafile=str(authority))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except ssl.SSLCertVerificationError:
        return False
    try:
        return await listed(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def listed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {ENCODED}\r\n\r\n".encode())
    async with asyncio.timeout(60):
        return (await read_reply(reader)).status == 200


async def test_a_certificate_is_renewed_without_a_dropped_connection(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    first, second = certificates(tmp_path, "first"), certificates(tmp_path, "second")
    cert, key = tmp_path / "cert.pem", tmp_path / "privkey.pem"
    shutil.copy(first.server_cert, cert)
    shutil.copy(first.server_key, key)
    options = ["--https", "--cert", str(cert), "--key", str(key), "--high_burst", "0",
               "--chain", str(first.ca)]  # fmt: skip
    with docker_server(*options, engine=dockerd.unix, environ=ENVIRON) as server:
        assert server.url.startswith("https://")
        assert await asked_over_tls(server.port, first.ca)
        plain = await asyncio.open_connection("127.0.0.1", server.port)
        with pytest.raises((OSError, asyncio.IncompleteReadError)):  # nothing but HTTPS
            await listed(*plain)
        plain[1].transport.abort()
        context = ssl.create_default_context(cafile=str(first.ca))
        kept = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
        assert await listed(*kept)
        for new, old in ((second.server_key, key), (second.server_cert, cert)):
            shutil.copy(new, old)
        async with asyncio.timeout(60):
            while not await asked_over_tls(server.port, second.ca):
                assert await listed(*kept)
        assert await listed(*kept)
        assert not await asked_over_tls(server.port, first.ca)
        kept[1].transport.abort()
        await asyncio.sleep(0)


def test_its_log_is_written_to_files_of_the_documented_options(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    options = ["--log_folder", str(folder), "--log_lovel", "info", "--log_expiry", "1",
               "--log_max_size", "1"]  # fmt: skip
    require("curl")
    with docker_server(*options, engine=dockerd.unix, environ=ENVIRON) as server:
        curl("curl http://1.2.3.4:1717/?x=hunter2 -H 'Authorization: Bearer my_secret_token'",
             url=server.url)  # fmt: skip
        wait_until(lambda: '"path": "/"' in "".join(path.read_text() for path in folder.iterdir()))
    (file,) = folder.iterdir()
    line = json.loads(file.read_text().splitlines()[-1])
    assert line.items() >= {"method": "GET", "path": "/", "status": 200}.items()
    assert "hunter2" not in file.read_text()


# ---- who leaves --------------------------------------------------------------------------------


async def names(client: RemoteClient) -> dict[str, str]:
    return {row["names"]: row["status"] for row in (await client.ask("GET")).json}


async def until_it_is(client: RemoteClient, name: str, pattern: str | None) -> None:
    async with asyncio.timeout(60):
        while True:
            status = (await names(client)).get(name)
            if status is None if pattern is None else re.match(pattern, status or ""):
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("remove", [True, False])
async def test_a_client_that_leaves_ends_its_container(dockerd: Dockerd, remove: bool) -> None:
    name = f"left-{uuid.uuid4().hex[:8]}"
    fields = {"image": "busybox", "name": name, "data": "sleep 1000", "remove": remove}
    async with remote_server(dockerd.unix) as client:
        _, writer = await client.send("PUT", "/", fields)
        await until_it_is(client, name, "Up")
        writer.close()
        await until_it_is(client, name, None if remove else r"Exited \(137\)")
        await client.ask("DELETE", f"/{name}")


async def test_clients_that_leave_at_any_moment_leave_nothing(dockerd: Dockerd) -> None:
    prefix = f"storm-{uuid.uuid4().hex[:8]}"
    async with remote_server(dockerd.unix) as client:
        for number in range(12):
            fields = {"image": "busybox", "name": f"{prefix}-{number}", "data": "sleep 1000",
                      "remove": True}  # fmt: skip
            _, writer = await client.send("PUT", "/", fields)
            await asyncio.sleep(number * 0.02)  # from before its creation to after its start
            writer.close()
    # The server has stopped, and with it all that it did for them.
    wait_until(lambda: prefix.encode() not in dockerd.request("GET", "/containers/json?all=1"))


async def test_a_program_that_takes_too_long_is_ended_with_its_container(dockerd: Dockerd) -> None:
    name = f"late-{uuid.uuid4().hex[:8]}"
    fields = {"image": "busybox", "name": name, "data": "sh -c 'echo so far; sleep 1000'",
              "remove": True, "timeout": 1}  # fmt: skip
    async with remote_server(dockerd.unix, strict=True) as client:
        reply = await client.ask("PUT", "/", fields)
        assert reply.status == 504
        assert reply.json.items() >= {"exit_code": None, "stderr": ""}.items()
        await until_it_is(client, name, None)


async def test_a_server_that_stops_ends_what_runs_in_the_foreground(dockerd: Dockerd) -> None:
    name = f"stop-{uuid.uuid4().hex[:8]}"
    fields = {"image": "busybox", "name": name, "data": "sleep 1000", "remove": True}
    options = ["--grace", "0", "--high_burst", "0"]
    with docker_server(*options, engine=dockerd.unix, environ=ENVIRON) as server:
        client = RemoteClient("127.0.0.1", server.port, token=TOKEN)
        _, writer = await client.send("PUT", "/", fields)
        await until_it_is(client, name, "Up")
    writer.close()
    found = json.loads(dockerd.request("GET", "/containers/json?all=1"))
    assert f"/{name}" not in [each["Names"][0] for each in found if each["State"] == "running"]


async def test_a_large_body_is_an_execs_stdin(dockerd: Dockerd) -> None:
    name = f"big-{uuid.uuid4().hex[:8]}"
    fields = {"image": "busybox", "name": name, "data": "sleep 1000", "detach": True}
    async with remote_server(dockerd.unix) as client:
        await client.ask("PUT", "/", fields)
        kind = {"content-type": "application/octet-stream"}
        reply = await client.ask(
            "POST", f"/{name}?data=wc%20-c&interactive=1", b"x" * 5_000_000, headers=kind
        )
        assert reply.json["raw"] == "5000000\n"
        await client.ask("DELETE", f"/{name}")
