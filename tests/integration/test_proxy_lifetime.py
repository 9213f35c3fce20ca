"""Show 3: whatever dies, children are gone or owned again, and nothing foreign is touched."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.certificates import make_certificates
from tests.support.dockerd import running_dockerd
from tests.support.proxying import CLI_IMAGE, SHOWN, House, house_on, load_cli_image
from tests.support.waiting import wait_until

from wherry.errors import Conflict
from wherry.proxy.inject import TARGET, injection
from wherry.proxy.proxy import running_proxy
from wherry.proxy.tenants.labels import owner_labels
from wherry.proxy.tenants.registry import Registry

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine() -> Iterator[Dockerd]:
    """An engine of this module's own: it is killed, too."""
    with running_dockerd() as daemon:
        load_cli_image(daemon)
        yield daemon


@pytest.fixture
async def house(engine: Dockerd) -> AsyncIterator[House]:
    async with house_on(engine) as house:
        yield house


async def until(true: Callable[[], bool]) -> None:
    await asyncio.to_thread(wait_until, true, seconds=60.0)


def foreign(house: House) -> str:
    """Run a container of nobody's; it must be the same in the end."""
    body = json.dumps({"Image": "busybox", "Cmd": ["sleep", "999"]}).encode()
    made = json.loads(_post(house, "/containers/create", body))["Id"]
    _post(house, f"/containers/{made}/start")
    return str(made)


def _post(house: House, path: str, body: bytes = b"") -> bytes:
    words = ["curl", "-sf", "--unix-socket", str(house.dockerd.socket), "-X", "POST",
             "-H", "Content-Type: application/json", "--data-binary", "@-",
             f"http://docker/v1.41{path}"]  # fmt: skip
    return subprocess.run(words, input=body, capture_output=True, check=True).stdout


def state_of(house: House, id_: str) -> object:
    return house.direct("GET", f"/containers/{id_}/json")["State"]


def remove(house: House, id_: str) -> None:
    house.dockerd.request("DELETE", f"/v1.41/containers/{id_}?force=1")


async def test_the_end_of_the_parent_is_the_end_of_all_below_it(house: House) -> None:
    """The parent is killed; its child, and the child's own child two tenants down, go with it."""
    stranger = foreign(house)
    before = state_of(house, stranger)
    tenant = await house.proxy.add(
        "top", policy=SHOWN + 'limits = {depth = 1, memory_each = "64m"}\n', directory=True
    )
    given = injection(Path(tenant.directory))
    below = "docker run -d busybox sleep 999; sleep 999"
    script = f"docker run -d --label wherry.docker-api=true {CLI_IMAGE} sh -c '{below}'; sleep 999"
    words = [*(word for value in given.env for word in ("-e", value)), "-e", "HOME=/tmp",
             "-v", f"{given.source}:{TARGET}:ro"]  # fmt: skip
    started = await house.docker(
        house.dockerd.socket, "run", "-d", *words, CLI_IMAGE, "sh", "-c", script
    )
    parent = started.text.strip()
    house.proxy.hold("top", parent)
    await until(lambda: len(house.containers()) == 4)
    names = {each["Labels"].get("wherry.proxy.tenant") for each in house.containers()}
    assert len(names) == 3  # nobody's, that of the top, and that of one below it
    await house.docker(house.dockerd.socket, "kill", parent)
    await until(lambda: not house.proxy.registry.tenants())
    assert {each["Id"] for each in house.containers()} == {stranger, parent}
    assert state_of(house, stranger) == before
    for id_ in (stranger, parent):
        remove(house, id_)


async def test_no_socket_is_given_further_down_than_the_policy_says(house: House) -> None:
    socket = await house.add("flat", SHOWN + "limits = {depth = 0}\n")
    said = await house.docker(
        socket, "run", "--rm", "--label", "wherry.docker-api=true", "busybox", "true"
    )
    assert said.code == 125
    assert "not given any further down" in said.stderr
    assert [each.name for each in house.proxy.registry.tenants()] == ["flat"]
    assert house.containers("flat") == []


async def test_an_end_in_the_middle_of_creates_leaves_nothing(house: House) -> None:
    body = json.dumps({"Image": "busybox", "Volumes": {"/x": {}}}).encode()
    request = (
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )

    async def create(socket: Path) -> None:
        with contextlib.suppress(OSError):  # the socket ends, too
            reader, writer = await asyncio.open_unix_connection(str(socket))
            writer.write(request)
            await reader.read()
            writer.close()

    for turn, before in enumerate((0, 1, 3)):
        socket = await house.add(f"brief{turn}", SHOWN)
        tasks = [asyncio.create_task(create(socket)) for _ in range(16)]
        await until(lambda: len(house.containers()) >= before)  # noqa: B023
        await house.proxy.end(f"brief{turn}")
        await asyncio.gather(*tasks)
        assert house.containers() == []
    assert not house.direct("GET", "/volumes")["Volumes"]
    assert house.proxy.registry.pending() == []


async def test_what_somebody_else_uses_is_not_touched_and_stays_on_record(house: House) -> None:
    socket = await house.add("ci")
    await house.docker(socket, "network", "create", "net")
    stranger = foreign(house)
    direct = house.dockerd.socket
    assert (await house.docker(direct, "network", "connect", "ci.net", stranger)).code == 0
    before = state_of(house, stranger)
    await house.proxy.end("ci")
    assert house.proxy.registry.tenant("ci").is_ending
    assert [each.name for each in house.proxy.registry.owned("ci")] == ["net"]
    assert state_of(house, stranger) == before
    remove(house, stranger)
    await house.proxy.end("ci")
    assert not house.proxy.registry.has("ci")


async def test_a_tenant_ends_when_its_time_has_come(house: House) -> None:
    socket = await house.add("brief", ttl=1.0)
    await house.docker(socket, "run", "-d", "busybox", "sleep", "999")
    await until(lambda: not house.proxy.registry.tenants())
    assert house.containers() == []


async def test_a_container_ends_when_its_time_has_come(house: House) -> None:
    socket = await house.add("ci", SHOWN + 'limits = {lifetime = "1s"}\n')
    await house.docker(socket, "run", "-d", "busybox", "sleep", "999")
    await until(lambda: house.proxy.registry.uses("ci").containers == 0)
    assert house.containers("ci") == []
    assert house.proxy.registry.has("ci")


@contextmanager
def serving(house: House, name: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``wherry proxy``; yields when it serves."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wherry", "proxy", "--engine", house.dockerd.unix,
         "--data-dir", str(house.directory / "data"), "--tenant", name, "--image", "busybox",
         "--socket", str(house.directory / "served.sock"), "--cgroup",
         f"{house.dockerd.cgroup}/served", *options],
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONWARNINGS": "default"},
    )  # fmt: skip
    try:
        assert process.stderr
        while b"has unix://" not in (line := process.stderr.readline()):
            assert line, "the proxy ended"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


async def test_children_are_owned_again_after_kill_9_of_the_proxy(house: House) -> None:
    stranger = foreign(house)
    before = state_of(house, stranger)
    socket = house.directory / "served.sock"
    with serving(house, "ci") as process:
        volume = ("-v", "data:/d")
        for name in ("aa", "bb"):
            await house.docker(
                socket, "run", "-d", "--name", name, *volume, "busybox", "sleep", "999"
            )
        assert (await house.docker(socket, "rm", "-f", "aa")).code == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
    with serving(house, "ci") as process:
        assert (await house.docker(socket, "ps", "--format", "{{.Names}}")).text == "bb\n"
        assert (await house.docker(socket, "exec", "bb", "echo", "mine")).text == "mine\n"
        assert (await house.docker(socket, "volume", "ls", "-q")).text == "data\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    listed = await cli(house, "ls")
    assert "ci" in listed.stdout
    await cli(house, "end", "ci", "--engine", house.dockerd.unix)
    assert house.containers("ci") == []
    assert not house.direct("GET", "/volumes")["Volumes"]
    assert state_of(house, stranger) == before
    remove(house, stranger)


async def test_a_tenant_is_served_over_tls_to_who_has_its_certificate(house: House) -> None:
    """F9: the docker command ends its side right after the head; over TLS as well."""
    files = make_certificates(house.directory)
    tls = ("--tls", "127.0.0.1:0", "--tls-ca", files.ca, "--tls-cert", files.server_cert,
           "--tls-key", files.server_key)  # fmt: skip
    with serving(house, "ci", *map(str, tls)) as process:
        assert process.stderr
        port = int(process.stderr.readline().split(b":")[-1].split()[0])
        options = ("--tlsverify", "--tlscacert", files.ca, "--tlscert", files.cert,
                   "--tlskey", files.key, "-H", f"tcp://127.0.0.1:{port}")  # fmt: skip
        for words in (("run", "-d", "--name", "behind", "busybox", "sleep", "99"),
                      ("exec", "behind", "echo", "half-closed")):  # fmt: skip
            said = await house.docker(house.directory / "served.sock", *map(str, options), *words)
        assert said.text == "half-closed\n"
        local = house.directory / "served.sock"
        assert (await house.docker(local, "ps", "--format", "{{.Names}}")).text == "behind\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    await cli(house, "end", "ci", "--engine", house.dockerd.unix)


async def cli(house: House, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wherry", "proxy", *words,
               "--data-dir", str(house.directory / "data")]  # fmt: skip
    return await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True, timeout=60
    )


async def test_what_was_being_made_in_a_crash_is_the_tenants_and_counted(engine: Dockerd) -> None:
    """The engine has made it, and the proxy died before it was on record."""
    directory = Path(tempfile.mkdtemp(prefix="wherry-proxy-", dir="/var/tmp"))
    house = House(engine, directory)
    try:
        async with running_proxy(house.options) as proxy:
            house.proxy = proxy
            await house.add("ci")
            lost = proxy.ledger.reserve("ci", "container", name="lost")
            never = proxy.ledger.reserve("ci", "container", name="never")
            bridge = proxy.ledger.reserve("ci", "network", name="bridge")
            body = {"Name": "ci.bridge", "Labels": proxy.scope("ci").labels(bridge.nonce)}
            _post(house, "/networks/create", json.dumps(body).encode())
            body = {"Image": "busybox", "Labels": proxy.scope("ci").labels(lost.nonce)}
            made = json.loads(_post(house, "/containers/create", json.dumps(body).encode()))["Id"]
        registry = Registry(house.options.directory)
        nonces = {lost.nonce, never.nonce, bridge.nonce}
        assert {each.nonce for each in registry.pending()} == nonces
        registry.close()
        async with running_proxy(house.options) as proxy:
            assert proxy.registry.ids("ci", "container") == {made}
            # The engine may be about to make it: it stays reserved for two minutes.
            assert {each.nonce for each in proxy.registry.pending()} == {never.nonce}
            assert proxy.registry.uses("ci").containers == 2
            socket = house.directory / "again.sock"
            await proxy.listen("ci", socket)
            said = await house.docker(socket, "run", "--rm", "busybox", "echo", "on")
            assert said.text == "on\n"  # in the network that was being made
            await proxy.end("ci")
            assert house.containers() == []
            body["Labels"] = owner_labels(
                instance=proxy.registry.instance, tenant="ci", nonce=never.nonce
            )
            _post(house, "/containers/create", json.dumps(body).encode())
            proxy.lifetime.look_now()
            await until(lambda: not proxy.registry.pending())
        assert house.containers() == []
    finally:
        shutil.rmtree(directory)


async def test_a_label_alone_makes_nothing_a_tenants(house: House) -> None:
    """F7: labels are inherited from images, and can be set by anybody."""
    socket = await house.add("ci")
    labels = house.proxy.scope("ci").labels("0" * 32)
    body = json.dumps({"Image": "busybox", "Cmd": ["true"], "Labels": labels}).encode()
    made = json.loads(_post(house, "/containers/create", body))["Id"]
    assert (await house.docker(socket, "ps", "-aq")).text == ""
    assert "No such" in (await house.docker(socket, "rm", made)).stderr
    await house.proxy.end("ci")
    assert [each["Id"] for each in house.containers()] == [made]
    remove(house, made)


async def test_an_engine_that_starts_again_leaves_no_quota_behind(house: House) -> None:
    socket = await house.add("ci", SHOWN + "limits = {containers = 2}\n")
    await house.docker(socket, "run", "-d", "--name", "stays", "busybox", "sleep", "999")
    await house.docker(socket, "run", "-d", "--rm", "--name", "goes", "busybox", "sleep", "999")
    house.dockerd.kill()
    await asyncio.to_thread(house.dockerd.start)
    await until(lambda: len(house.proxy.registry.ids("ci", "container")) == 1)
    assert (await house.docker(socket, "ps", "-a", "--format", "{{.Names}}")).text == "stays\n"
    assert (await house.docker(socket, "run", "--rm", "busybox", "echo", "yes")).text == "yes\n"
    await until(lambda: house.proxy.registry.uses("ci").containers == 1)


async def test_tenants_of_one_engine_are_not_looked_for_on_another(
    house: House, tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    registry.claim("one")
    with pytest.raises(Conflict, match="another engine"):
        registry.claim("two")
    registry.close()
