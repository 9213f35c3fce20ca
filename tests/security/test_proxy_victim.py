"""The red-team corpus over a real socket: afterwards nothing of the victim's has changed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from tests.support import proxy_corpus as corpus
from tests.support.docker_image import docker_archive
from tests.support.proxying import House, house_on

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root

# The most open policy that there is without naming anything of the host.
ATTACKER = """
profile = "ci"
pull = ["allowed"]
images = ["busybox:*"]
copy_in = "always"
limits = {containers = 400, networks = 4, volumes = 400, images = 100, streams = 512}
"""
VICTIM = 'profile = "ci"\nimages = ["secret"]\n'
AT_ONCE = 8


async def victim(house: House, socket: Path) -> dict[str, str]:
    """Make one of each for a tenant; returns their ids by the names that the corpus has."""
    docker = house.docker
    await docker(socket, "network", "create", "net")
    await docker(socket, "tag", "secret", "secret")
    run = ("run", "-d", "--name", "web", "--network", "net", "-v", "data:/data", "secret")
    container = (await docker(socket, *run, "sleep", "999")).text.strip()
    described = house.direct("GET", f"/containers/{container}/json")
    (network,) = [each["Id"] for each in house.direct("GET", "/networks")
                  if each["Name"] == "victim.net"]  # fmt: skip
    return {
        "victim": container,
        "victim_network": network,
        "victim_image": described["Image"],
        "victim_exec": await _exec(socket, container),
    }


async def _exec(socket: Path, container: str) -> str:
    body = json.dumps({"Cmd": ["true"]}).encode()
    made = await asyncio.to_thread(
        corpus.send,
        socket,
        corpus.Attack("", "POST", f"/v1.41/containers/{container}/exec", body, "application/json"),
    )
    return str(json.loads(made.body)["Id"])


async def own(house: House, socket: Path) -> dict[str, str]:
    """Make one of each for the attacker."""
    docker = house.docker
    network = (await docker(socket, "network", "create", "mine")).text.strip()
    await docker(socket, "volume", "create", "data")
    run = ("run", "-d", "--name", "base", "busybox", "sleep", "999")
    container = (await docker(socket, *run)).text.strip()
    image = house.direct("GET", "/images/busybox:latest/json")["Id"]
    return {"own": container, "own_network": network, "own_image": image}


async def test_the_corpus_changes_nothing_and_learns_nothing(dockerd: Dockerd) -> None:
    dockerd.request("POST", "/images/load?quiet=1", docker_archive("secret:latest", User="7"))
    try:
        async with house_on(dockerd) as house:
            theirs = await victim(house, await house.add("victim", VICTIM))
            socket = await house.add("attacker", ATTACKER)
            ground = corpus.Ground(**theirs, **await own(house, socket))
            before = corpus.state(dockerd, ground)
            wrong = await attack_all(socket, ground)
            assert corpus.state(dockerd, ground) == before
            assert wrong == {}
            socket = house.directory / "victim.sock"
            assert (await house.docker(socket, "exec", "web", "echo", "well")).text == "well\n"
    finally:
        dockerd.request("DELETE", "/images/secret:latest?force=1")


async def attack_all(socket: Path, ground: corpus.Ground) -> dict[str, str]:
    """Send every request of the corpus; returns what is wrong, by the names of the requests."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(attack: corpus.Attack) -> tuple[str, str]:
        async with room:
            reply = await asyncio.to_thread(corpus.send, socket, attack)
        return attack.name, corpus.wrong(attack, reply, ground=ground)

    found = await asyncio.gather(*(one(attack) for attack in corpus.attacks(ground)))
    assert len(found) >= 150
    return {name: why for name, why in found if why}
