"""Images through a scoped socket: built, committed, pulled; nobody else's tag is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
from tests.support.oci_layout import build_image
from tests.support.proxying import SHOWN, House, house_on
from tests.support.registry import registry_server
from tests.support.registry_relay import reachable

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
