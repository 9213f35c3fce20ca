"""The red-team corpus against a real engine, with a victim whose state is compared."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support import proxy_corpus as corpus
from tests.support.proxying import House, house_on

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root

OPEN = 'profile = "ci"\nimages = ["busybox"]\npull = ["allowed"]\ncopy_in = "always"\n'
EVERY = 40
"""Requests between two looks at the victim: what is found can then be narrowed down."""


async def furnish(house: House, socket: Path, name: str) -> dict[str, str]:
    """Give a tenant one object of each kind; returns the engine's ids and names of them."""

    async def docker(*words: str) -> str:
        return (await house.docker(socket, *words)).text.strip()

    await docker("network", "create", "net")
    await docker("volume", "create", "data")
    container = await docker("run", "-d", "--name", "web", "--network", "net", "-v", "data:/d",
                             "busybox", "sleep", "1000")  # fmt: skip
    image = await docker("commit", "web", "secret")
    network = await docker("network", "inspect", "-f", "{{.Id}}", "net")
    return {"container": container, "image": image, "network": network, "name": name}


async def ground(house: House, victim: Path, attacker: Path) -> corpus.Ground:
    theirs = await furnish(house, victim, "victim")
    ours = await furnish(house, attacker, "attacker")
    asked = corpus.Attack("", "POST", f"/containers/{theirs['container']}/exec",
                          b'{"Cmd":["true"]}', "application/json")  # fmt: skip
    exec_ = json.loads((await asyncio.to_thread(corpus.send, victim, asked)).body)["Id"]
    return corpus.Ground(
        own=ours["container"], own_network=ours["network"], own_image=ours["image"],
        victim=theirs["container"], victim_network=theirs["network"],
        victim_image=theirs["image"], victim_exec=exec_,
    )  # fmt: skip


async def test_the_corpus_changes_and_tells_nothing_of_the_victim(dockerd: Dockerd) -> None:
    async with house_on(dockerd) as house:
        victim = await house.add("victim", OPEN)
        attacker = await house.add("attacker", OPEN)
        known = await ground(house, victim, attacker)
        before = await asyncio.to_thread(corpus.state, dockerd, known)
        wrong = {}
        for number, attack in enumerate(corpus.attacks(known), 1):
            reply = await asyncio.to_thread(corpus.send, attacker, attack)
            if why := corpus.wrong(attack, reply, ground=known):
                wrong[attack.name] = why
            if number % EVERY == 0:
                now = await asyncio.to_thread(corpus.state, dockerd, known)
                assert now == before, f"changed by one of the {EVERY} before {attack.name!r}"
        assert wrong == {}
        assert await asyncio.to_thread(corpus.state, dockerd, known) == before


STEALING = {
    "as a base": "FROM hostsecret",
    "as a base of another stage": "FROM busybox\nFROM hostsecret",
    "by a copy": "FROM busybox\nCOPY --from=hostsecret /d /x",
    "by a copy from the stage that is being built": "FROM busybox AS hostsecret\n"
    "COPY --from=hostsecret /d /x",
    "by a stage that comes later": "FROM busybox\nCOPY --from=hostsecret /d /x\n"
    "FROM busybox AS hostsecret",
    "by its id": "FROM {id}",
    "by a line that is continued": "FROM busybox\nCO\\\nPY --from=host\\\nsecret /d /x",
    "by a variable": "ARG I=hostsecret\nFROM $I",
    "by quotes": 'FROM busybox\nCOPY --fr"om"=hostsecret /d /x',
    "by a mount": "FROM busybox\nRUN --mount=type=bind,from=hostsecret,target=/x cp -r /x /y",
    "by an instruction for later": "FROM busybox\nONBUILD COPY --from=hostsecret /d /x",
    "by the name of the victim's tag": "FROM victim.wherry.invalid/docker.io/library/secret",
}


async def test_no_build_reads_an_image_of_somebody_else(dockerd: Dockerd) -> None:
    async with house_on(dockerd) as house:
        victim = await house.add("victim", OPEN)
        attacker = await house.add("attacker", OPEN + "[limits]\nimages = 50\n")
        theirs = await furnish(house, victim, "victim")
        image = theirs["image"].removeprefix("sha256:")
        dockerd.request("POST", f"/images/{image}/tag?repo=hostsecret&tag=latest")
        try:
            for name, text in STEALING.items():
                context = house.directory / name.replace(" ", "-")
                context.mkdir()
                (context / "Dockerfile").write_text(text.format(id=image))
                said = await house.docker(attacker, "build", str(context))
                assert said.code != 0, name
                assert "Step 1" not in said.stdout, name
            (context / "Dockerfile").write_text("FROM busybox AS a\nFROM a\nCOPY --from=a /bin /b")
            assert (await house.docker(attacker, "build", str(context))).code == 0
        finally:
            dockerd.request("DELETE", "/images/hostsecret")
