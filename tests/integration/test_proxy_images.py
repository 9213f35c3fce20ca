"""Images through a scoped socket: built, committed, pulled; nobody else's tag is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from tests.support.oci_layout import build_image
from tests.support.proxying import SHOWN, House, house_on
from tests.support.registry import registry_server
from tests.support.registry_relay import reachable
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root
CI = SHOWN + 'profile = "ci"\n'


@pytest.fixture
async def house(dockerd: Dockerd) -> AsyncIterator[House]:
    async with house_on(dockerd) as house:
        yield house


def tags(house: House) -> set[str]:
    return {tag for image in house.direct("GET", "/images/json") for tag in image["RepoTags"] or ()}


async def test_what_is_built_and_committed_is_the_tenants_own(house: House) -> None:
    mine, theirs = await house.add("one", CI), await house.add("two", CI)
    context = house.directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo built > /f\nCMD cat /f\n")
    assert (await house.docker(mine, "build", "-t", "app", str(context))).code == 0
    assert (await house.docker(mine, "run", "--rm", "app")).text == "built\n"
    await house.docker(mine, "create", "--name", "base", "app")
    assert (await house.docker(mine, "commit", "base", "kept")).code == 0
    assert (await house.docker(mine, "run", "--rm", "kept")).text == "built\n"
    shown = (await house.docker(mine, "images", "--format", "{{.Repository}}")).text.split()
    assert sorted(shown) == ["app", "busybox", "kept"]
    assert (await house.docker(theirs, "images", "--format", "{{.Repository}}")).text == "busybox\n"
    said = await house.docker(theirs, "run", "--rm", "app")
    assert "pull" in said.stderr
    (context / "Dockerfile").write_text("FROM one.wherry.invalid/docker.io/library/app\n")
    said = await house.docker(theirs, "build", str(context))
    assert "No such image" in said.stderr
    await house.docker(mine, "rm", "base")
    assert (await house.docker(mine, "rmi", "app", "kept")).code == 0
    assert not [tag for tag in tags(house) if tag.startswith("one.")]


def everything(house: House) -> tuple[set[str], set[str]]:
    images = {image["Id"] for image in house.direct("GET", "/images/json?all=1")}
    return images, {one["Id"] for one in house.direct("GET", "/containers/json?all=1")}


async def test_a_build_that_breaks_off_leaves_nothing_that_nobody_owns(house: House) -> None:
    mine = await house.add("one", CI)
    context = house.directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM busybox AS first\nRUN echo 1 > /f\nFROM busybox\nCOPY --from=first /f /f\n"
        "RUN echo 2 > /g\nRUN echo here; sleep 999\n"
    )
    before = everything(house)
    building = asyncio.create_task(house.docker(mine, "build", str(context)))
    await asyncio.to_thread(wait_until, lambda: everything(house)[1] != before[1], seconds=60.0)
    building.cancel()
    await asyncio.gather(building, return_exceptions=True)
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo 3 > /h\nRUN false\n")
    assert (await house.docker(mine, "build", str(context))).code != 0
    await asyncio.to_thread(wait_until, lambda: house.proxy.registry.pending() == [], seconds=60.0)
    house.proxy.lifetime.look_now()
    await asyncio.to_thread(wait_until, lambda: everything(house) == before, seconds=60.0)


async def test_an_image_beyond_the_limits_is_neither_kept_nor_tagged(house: House) -> None:
    context = house.directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo big > /f\n")
    before = everything(house)
    small = await house.add("one", CI + 'limits = {image_size = "4k"}\n')
    said = await house.docker(small, "build", "-t", "app", str(context))
    assert "may have 4096" in said.stdout + said.stderr
    none = await house.add("two", CI + "limits = {images = 0}\n")
    said = await house.docker(none, "tag", "busybox", "mine")
    assert "quota" in said.stderr
    assert not [tag for tag in tags(house) if tag.startswith(("one.", "two."))]
    await asyncio.to_thread(wait_until, lambda: everything(house) == before, seconds=60.0)


async def test_a_tag_of_ones_own_kind_makes_no_image_ones_own(house: House) -> None:
    """Another proxy on the engine may have a tenant of that name."""
    mine, theirs = await house.add("one", CI), await house.add("two", CI)
    await house.docker(theirs, "create", "--name", "base", "busybox")
    image = (await house.docker(theirs, "commit", "base")).text.strip().removeprefix("sha256:")
    tag = "one.wherry.invalid/docker.io/library/app"
    house.dockerd.request("POST", f"/images/{image}/tag?repo={tag}&tag=latest")
    try:
        for words in (("inspect", "app"), ("run", "--rm", "app"), ("rmi", "app"), ("save", "app")):
            said = await house.docker(mine, *words)
            assert said.code != 0, words
        assert f"{tag}:latest" in tags(house)
    finally:
        house.dockerd.request("DELETE", f"/images/{tag}:latest")


async def test_what_a_step_wrote_for_one_tenant_is_not_in_the_cache_of_another(
    house: House,
) -> None:
    context = house.directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM busybox\nRUN head -c 9 /dev/urandom | base64 > /secret\nCMD cat /secret\n"
    )
    told = []
    for name in ("one", "two"):
        socket = await house.add(name, CI)
        for _ in range(2):
            assert (await house.docker(socket, "build", "-t", "app", str(context))).code == 0
            told.append((await house.docker(socket, "run", "--rm", "app")).text)
    assert told[0] == told[1] != told[2] == told[3]


async def test_an_allowed_image_is_pulled_and_the_tag_of_others_is_not_moved(
    house: House, tmp_path: Path
) -> None:
    with registry_server(tmp_path) as registry:
        registry.put_image(build_image(), "ferry/busybox", "latest")
        name = f"{registry.host}/ferry/busybox"
        policy = f'images = []\npull = ["{registry.host}/ferry/*"]\n'
        mine, theirs = await house.add("one", policy), await house.add("two", policy)
        async with reachable(house.dockerd, registry):
            assert (await house.docker(mine, "run", "--rm", name, "echo", "hi")).text == "hi\n"
            first = house.direct("GET", f"/images/{name}:latest/json")["Id"]
            assert (await house.docker(theirs, "images", "-q")).text == ""
            said = await house.docker(mine, "pull", f"{registry.host}/other/busybox")
            assert "may not be pulled" in said.stderr
            registry.put_image(build_image({"second": b"2"}), "ferry/busybox", "latest")
            assert "up to date" in (await house.docker(theirs, "pull", name)).text
            assert house.direct("GET", f"/images/{name}:latest/json")["Id"] == first
            assert (await house.docker(theirs, "rmi", name)).code == 0
            assert (await house.docker(mine, "pull", name)).code == 0
            second = house.direct("GET", f"/images/{name}:latest/json")["Id"]
            assert second != first
            shown = await house.docker(mine, "inspect", "-f", "{{.Id}}", name)
            assert shown.text.strip() == second
        await house.proxy.end("one")
        assert f"{name}:latest" not in tags(house)
