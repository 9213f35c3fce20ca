"""Images that a Docker engine has, lacks, or gets from a registry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.support.dockerd import Dockerd, running_dockerd
from tests.support.oci_layout import build_image
from tests.support.registry import PASSWORD, USER, RegistryServer, registry_server
from tests.support.registry_relay import reachable

from wherry import streams
from wherry.engines.docker.address import Address
from wherry.engines.docker.engine import DockerEngine
from wherry.errors import AuthenticationRequired, ImageNotFound
from wherry.images.credentials import Credentials, FixedCredentials
from wherry.models import Function, Invocation

if TYPE_CHECKING:
    from wherry.engines.docker.images import PullProgress
    from wherry.models import PullPolicy

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def daemon() -> Iterator[Dockerd]:
    with running_dockerd() as own:
        yield own


@pytest.fixture(scope="module", params=[False], ids=["open"])
def registry(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryServer]:
    with registry_server(tmp_path_factory.mktemp("registry")) as server:
        server.put_image(build_image(), "ferry/busybox", "latest")
        server.put_image(build_image({"second": b"2"}), "ferry/busybox", "second")
        yield server


async def run(engine: DockerEngine, image: str, *command: str, pull: PullPolicy = "missing") -> str:
    function = Function(name="f", image=image, command=command, pull=pull)
    async with engine.start(Invocation(function=function), streams.NOTHING) as container:
        return (await streams.collect(container)).stdout.decode()


def images_of(daemon: Dockerd) -> str:
    return daemon.request("GET", "/images/json").decode()


async def test_an_image_is_pulled_when_it_is_missing_with_progress_and_one_tag_only(
    daemon: Dockerd, registry: RegistryServer
) -> None:
    seen: list[tuple[str, PullProgress]] = []
    address = Address(scheme="unix", path=str(daemon.socket))
    engine = DockerEngine(address, progress=lambda image, step: seen.append((image, step)))
    image = f"{registry.host}/ferry/busybox"
    async with reachable(daemon, registry):
        answers = await asyncio.gather(*(run(engine, image, "echo", str(n)) for n in range(3)))
    assert answers == ["0\n", "1\n", "2\n"]
    assert {name for name, _ in seen} == {image}
    assert [step for _, step in seen if step.layer and step.status == "Pull complete"]
    assert f"{image}:latest" in images_of(daemon)
    assert f"{image}:second" not in images_of(daemon)
    await engine.aclose()


async def test_an_image_removed_between_the_check_and_the_call_is_pulled_again(
    daemon: Dockerd, registry: RegistryServer
) -> None:
    engine = DockerEngine.connect(daemon.unix)
    image = f"{registry.host}/ferry/busybox:second"
    async with reachable(daemon, registry):
        await engine.prepare(Function(name="f", image=image))
        await engine.management.remove_image(image, force=True)
        assert await run(engine, image, "cat", "/second") == "2"
        await engine.management.remove_image(image, force=True)
    await engine.aclose()


async def test_what_nobody_has_is_named_whatever_the_policy(
    daemon: Dockerd, registry: RegistryServer
) -> None:
    engine = DockerEngine.connect(daemon.unix)
    async with reachable(daemon, registry):
        for image in (f"{registry.host}/ferry/nothing", f"{registry.host}/ferry/busybox:none"):
            with pytest.raises(ImageNotFound, match=image):
                await run(engine, image, "true")
            with pytest.raises(ImageNotFound, match="pull is 'never'"):
                await engine.prepare(Function(name="f", image=image, pull="never"))
            with pytest.raises(ImageNotFound, match=image):
                await run(engine, image, "true", pull="never")
    await engine.aclose()


async def test_always_pulls_what_is_there_already(
    daemon: Dockerd, registry: RegistryServer
) -> None:
    engine = DockerEngine.connect(daemon.unix)
    image = f"{registry.host}/ferry/moving"
    async with reachable(daemon, registry):
        for text in ("old", "new"):
            await asyncio.to_thread(
                registry.put_image, build_image({"v": text.encode()}), "ferry/moving", "latest"
            )
            assert await run(engine, image, "cat", "/v", pull="missing") == "old"
        assert await run(engine, image, "cat", "/v", pull="always") == "new"
    await engine.aclose()


async def test_a_registry_with_a_login_is_given_ours(
    daemon: Dockerd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with registry_server(tmp_path_factory.mktemp("closed"), authenticated=True) as closed:
        closed.put_image(build_image(), "ferry/secret", "latest")
        image = f"{closed.host}/ferry/secret"
        address = Address(scheme="unix", path=str(daemon.socket))
        stranger = DockerEngine(address)
        known = FixedCredentials(closed.host, Credentials(USER, PASSWORD))
        friend = DockerEngine(address, credentials=known)
        async with reachable(daemon, closed):
            with pytest.raises(AuthenticationRequired, match=image):
                await run(stranger, image, "true")
            assert await run(friend, image, "echo", "in") == "in\n"
        await stranger.aclose()
        await friend.aclose()
