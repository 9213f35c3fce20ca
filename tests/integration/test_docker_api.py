"""Containers of ours that call containers: ``--docker-api``, ``docker_api`` and ``inject``."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.proxying import CLI_IMAGE, load_cli_image
from tests.support.waiting import wait_until

from wherry.client import AsyncClient
from wherry.engines import connect
from wherry.errors import Unsupported
from wherry.functions.declare import declared
from wherry.functions.secrets import SecretStore
from wherry.functions.toml import deployments
from wherry.proxy.tenants.places import Places
from wherry.server.docker_api import with_docker_api
from wherry.server.scoping import sweep

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root
SCOPED = "containers:3,image:busybox,image:docker-cli"


@pytest.fixture(scope="module")
def engine(dockerd: Dockerd) -> Iterator[Dockerd]:
    load_cli_image(dockerd)
    yield dockerd
    dockerd.request("DELETE", f"/images/{CLI_IMAGE}?force=1")


@pytest.fixture
def place() -> Iterator[Path]:
    """Make a directory with a short path: sockets in it have to be shorter than 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="wherry-", dir="/var/tmp") as directory:
        yield Path(directory)


def containers(dockerd: Dockerd) -> list[dict[str, Any]]:
    found = json.loads(dockerd.request("GET", "/v1.41/containers/json?all=1"))
    return [each for each in found if "wherry.proxy.tenant" in each["Labels"]]


def parents(dockerd: Dockerd) -> list[dict[str, Any]]:
    found = json.loads(dockerd.request("GET", "/v1.41/containers/json?all=1"))
    return [each for each in found if each["Labels"].get("wherry.function") == "docker-cli"]


def wherry(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wherry", *words],
        capture_output=True, text=True, check=False, timeout=90, **options,
    )  # fmt: skip


def test_a_run_gets_children_and_leaves_none(engine: Dockerd) -> None:
    script = "docker run --rm busybox echo child; docker run -d busybox sleep 99 >/dev/null; id -u"
    said = wherry("run", "--engine", engine.unix, f"--docker-api={SCOPED}", "--user", "1234",
                  "-e", "HOME=/tmp", CLI_IMAGE, "sh", "-c", script)  # fmt: skip
    assert (said.stdout, said.returncode) == ("child\n1234\n", 0), said.stderr
    assert containers(engine) == []


@pytest.mark.parametrize("spec", ["local", "memory", "docker+tcp://127.0.0.1:1"])
async def test_an_engine_without_a_docker_api_of_this_machine_says_so(
    spec: str, tmp_path: Path
) -> None:
    engine = with_docker_api(connect(spec), places=Places(tmp_path))
    async with AsyncClient(engine) as client:
        with pytest.raises(Unsupported, match="needs a docker engine to serve children from"):
            await client.run("busybox", ["true"], labels={"wherry.docker-api": "true"})


def test_the_local_engine_says_what_is_needed() -> None:
    said = wherry("run", "--docker-api=children:2", "busybox", "true")
    assert said.returncode == 2
    assert "--docker-api needs a docker engine to serve children from" in said.stderr
    assert "--engine docker:" in said.stderr


def test_a_limit_that_does_not_exist_names_the_nearest(engine: Dockerd) -> None:
    said = wherry("run", "--engine", engine.unix, "--docker-api=childen:2", "busybox", "true")
    assert said.returncode == 2
    assert "there is no 'childen'" in said.stderr
    assert "children" in said.stderr


async def test_a_function_says_it_in_its_file(engine: Dockerd, place: Path) -> None:
    tables = {"functions": {"vote": {
        "image": CLI_IMAGE, "command": ["docker", "run", "--rm", "busybox", "echo", "counted"],
        "env": {"HOME": "/tmp"},
        "docker_api": {"children": 3, "memory": "128m", "images": ["busybox:latest"]},
    }}}  # fmt: skip
    (deployment,) = deployments(tables)
    assert deployment.labels == {
        "wherry.docker_api": "children:3,memory:128m,images:busybox:latest"
    }
    function = declared(
        deployment, secrets=SecretStore(place / "secrets"), created=1.0, source="api"
    ).function
    scoped = with_docker_api(connect(engine.unix), places=Places(place / "proxy"))
    async with AsyncClient(scoped) as client:
        assert await client.run(function) == "counted\n"
        results = await asyncio.gather(*(client.run(function) for _ in range(3)))
        assert results == ["counted\n"] * 3
    assert containers(engine) == []
    assert Places(place / "proxy").left() == []


async def test_functions_share_a_tenant_whose_children_outlive_a_call(
    engine: Dockerd, place: Path
) -> None:
    wanted = {"wherry.docker-api": f"tenant:poll,{SCOPED}"}
    scoped = with_docker_api(connect(engine.unix), places=Places(place / "proxy"))
    async with AsyncClient(scoped) as client:
        for words in (["run", "-d", "--name", "behind", "busybox", "sleep", "99"],
                      ["exec", "behind", "echo", "still here"]):  # fmt: skip
            said = await client.run(CLI_IMAGE, ["docker", *words], labels=wanted, env={"HOME": "/"})
        assert said == "still here\n"
        assert len(containers(engine)) == 1
    assert containers(engine) == []


def test_what_a_killed_run_left_is_taken_down_by_the_next(engine: Dockerd, place: Path) -> None:
    script = "docker run -d busybox sleep 99; exec sleep 99"
    process = subprocess.Popen(
        [sys.executable, "-m", "wherry", "run", "--engine", engine.unix,
         f"--docker-api={SCOPED}", "-e", "HOME=/tmp", CLI_IMAGE, "sh", "-c", script],
        env={**os.environ, "WHERRY_DATA_DIR": str(place)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(
            lambda: [each["State"] for each in containers(engine)] == ["running"], seconds=60.0
        )
    finally:
        process.kill()
        process.wait()
    places = Places(place / "proxy")
    assert len(places.left()) == 1

    async def take_down() -> None:
        docker = connect(engine.unix)
        await sweep(docker.client.address, places)  # type: ignore[attr-defined]
        await docker.aclose()

    asyncio.run(take_down())
    assert containers(engine) == []
    assert places.left() == []
    assert len(parents(engine)) == 1
    said = wherry("run", "--engine", engine.unix, "busybox", "true")  # the next start reaps
    assert said.returncode == 0, said.stderr
    wait_until(lambda: parents(engine) == [])


def test_a_container_that_docker_starts_can_have_one_too(engine: Dockerd, place: Path) -> None:
    script = "docker run --rm busybox echo child; docker run -d busybox sleep 99 >/dev/null; cat"
    said = wherry(
        "proxy", "inject", "--engine", engine.unix, "--data-dir", str(place),
        "--image", "busybox", "--", "docker", "-H", f"unix://{engine.socket}", "run", "-i", "--rm",
        "-e", "HOME=/tmp", CLI_IMAGE, "sh", "-c", script, input="in",
    )  # fmt: skip
    assert (said.stdout, said.returncode) == ("child\nin", 0), said.stderr
    assert containers(engine) == []


def test_a_container_in_the_background_keeps_its_socket_until_it_ends(
    engine: Dockerd, place: Path
) -> None:
    script = "sleep 0.3; docker run -d busybox sleep 99; exit 0"
    said = wherry(
        "proxy", "inject", "--engine", engine.unix, "--data-dir", str(place),
        "--image", "busybox", "--", "docker", "-H", f"unix://{engine.socket}", "run", "-d",
        "--name", "behind", "-e", "HOME=/tmp", CLI_IMAGE, "sh", "-c", script,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    logs = engine.request("GET", "/v1.41/containers/behind/logs?stdout=1")
    engine.request("DELETE", "/v1.41/containers/behind?force=1")
    assert len(logs.strip()) >= 64
    assert containers(engine) == []


def test_check_explains_a_verdict_and_its_rule(tmp_path: Path) -> None:
    policy = tmp_path / "jobs.toml"
    policy.write_text('images = ["busybox"]\n')
    create = 'POST /containers/create {"Image": "busybox", "HostConfig": {"Privileged": true}}'
    said = wherry("proxy", "check", str(policy), create, "GET /containers/json")
    assert said.returncode == 1
    assert "refused (403, 2.3 Privileged)" in said.stdout
    assert "allowed (2.2 container.list)" in said.stdout
