"""Pulling from a real registry."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.oci_layout import BuiltImage, build_image, build_index, digest_of, noise
from tests.support.registry import PASSWORD, USER, RegistryServer, registry_server
from tests.support.registry_proxy import RegistryProxy, registry_proxy

from wherry.errors import AuthenticationRequired, ImageCorrupt, ImageNotFound, RegistryError
from wherry.images.credentials import Credentials, FixedCredentials, StoredCredentials
from wherry.images.login import login, logout
from wherry.images.model import Descriptor
from wherry.images.platforms import host_platform, parse_platform
from wherry.images.pull import pull
from wherry.images.reference import Reference
from wherry.images.retries import Retries
from wherry.images.store import ImageStore
from wherry.images.transport import Wire

if TYPE_CHECKING:
    from wherry.images.model import Image
    from wherry.images.progress import LayerProgress

MIB = 1 << 20
BIG = {"big": noise(8 * MIB)}
NOBODY = StoredCredentials(())
QUICK = Wire(retries=Retries(first=0.001))

# Pulls argv[2] into the store argv[1], and prints the bytes that are here of its largest layer.
PULLER = """
import asyncio, sys
from pathlib import Path
from wherry.images.pull import pull
from wherry.images.reference import Reference
from wherry.images.store import ImageStore

def progress(event):
    if event.state == "downloading" and event.total > 4 << 20:
        print(event.done, flush=True)

asyncio.run(pull(ImageStore(Path(sys.argv[1])), Reference.parse(sys.argv[2]), progress=progress))
"""


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHERRY_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry_server(tmp_path_factory.mktemp("registry") / "r") as server:
        yield server


@pytest.fixture(scope="module")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    directory = tmp_path_factory.mktemp("locked")
    with registry_server(directory / "r", authenticated=True) as server:
        server.push(build_image(), "secret/box:1", scratch=directory)
        yield server


@pytest.fixture
async def proxy(registry: RegistryServer) -> AsyncIterator[RegistryProxy]:
    async with registry_proxy(registry.host) as served:
        yield served


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


async def fetch(store: ImageStore, name: str, *, platform: str | None = None) -> Image:
    return await pull(
        store, Reference.parse(name), platform=platform, credentials=NOBODY, wire=QUICK
    )


def nothing_usable(store: ImageStore, root: Path) -> bool:
    left = [path for path in (root / "rootfs").glob("*") if not path.name.startswith(".")]
    return store.list() == [] and left == []


async def start_puller(root: Path, name: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PULLER,
        str(root),
        name,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.defpath, "HOME": str(root.parent)},
    )


@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
async def test_an_image_that_skopeo_pushed_is_pulled_and_unpacked(
    registry: RegistryServer, store: ImageStore, tmp_path: Path, compression: str
) -> None:
    image = build_image({"hello": b"from the layer\n"}, compression=compression)
    name = registry.push(image, f"kinds/{compression or 'plain'}:1", scratch=tmp_path)
    pulled = await fetch(store, name)
    assert pulled.digest == image.digest
    assert pulled.id == image.config
    assert pulled.config.cmd == ("sh",)
    assert (pulled.rootfs / "hello").read_bytes() == b"from the layer\n"
    assert (pulled.rootfs / "bin/busybox").stat().st_mode & 0o111
    assert store.find(name) == pulled


async def test_a_pull_by_digest_needs_no_registry_the_second_time(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore
) -> None:
    image = build_image({"by": b"digest"})
    registry.put_image(image, "digest/box", "1")
    name = f"{proxy.host}/digest/box@{image.digest}"
    first = await fetch(store, name)
    asked = len(proxy.seen)
    assert await fetch(store, name) == first
    assert len(proxy.seen) == asked
    assert store.find(name) == first


async def test_a_tag_that_moved_is_pulled_again_and_shares_its_layers(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore
) -> None:
    old, new = build_image({"v": b"1"}), build_image({"v": b"2"})
    registry.put_image(old, "moving/box", "1")
    await fetch(store, f"{proxy.host}/moving/box:1")
    registry.put_image(new, "moving/box", "1")
    pulled = await fetch(store, f"{proxy.host}/moving/box:1")
    assert pulled.digest == new.digest
    assert (pulled.rootfs / "v").read_bytes() == b"2"
    assert len(proxy.blob(new.layers[0])) == 1, "the layer both have was fetched once"


def push_index(registry: RegistryServer, name: str) -> dict[str, BuiltImage]:
    images = {}
    entries = []
    for architecture, variant in {"amd64": "", "arm64": "v8", "arm": "v7"}.items():
        image = build_image(
            {"arch": architecture.encode()}, architecture=architecture, variant=variant
        )
        registry.put_image(image, name, architecture)
        images[architecture] = image
        platform = {"os": "linux", "architecture": architecture}
        entries.append(image.descriptor(platform | ({"variant": variant} if variant else {})))
    attestation = entries[0] | {"platform": {"os": "unknown", "architecture": "unknown"}}
    registry.put_manifest(name, "many", build_index([attestation, *reversed(entries)]))
    return images


async def test_the_right_image_of_an_index_is_pulled(
    registry: RegistryServer, tmp_path: Path
) -> None:
    images = push_index(registry, "index/box")
    name = f"{registry.host}/index/box:many"
    for platform in ("linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v7"):
        pulled = await fetch(ImageStore(tmp_path / platform), name, platform=platform)
        architecture = parse_platform(platform).architecture
        assert pulled.digest == images[architecture].digest
        assert (pulled.rootfs / "arch").read_text() == architecture
    here = host_platform().architecture
    if here in images:
        assert (await fetch(ImageStore(tmp_path / "here"), name)).digest == images[here].digest


async def test_a_platform_that_an_index_lacks_is_told_with_those_it_has(
    registry: RegistryServer, store: ImageStore
) -> None:
    push_index(registry, "index/lacking")
    with pytest.raises(ImageNotFound) as caught:
        await fetch(store, f"{registry.host}/index/lacking:many", platform="linux/s390x")
    assert "not there for linux/s390x" in str(caught.value)
    assert "linux/arm/v7, linux/arm64/v8, linux/amd64" in str(caught.value)


async def test_a_platform_that_a_plain_image_is_not_for_is_refused(
    registry: RegistryServer, store: ImageStore
) -> None:
    registry.put_image(build_image(architecture="arm64"), "plain/arm", "1")
    name = f"{registry.host}/plain/arm:1"
    with pytest.raises(ImageNotFound, match="it is for linux/arm64"):
        await fetch(store, name, platform="linux/amd64")
    assert (await fetch(store, name)).config.architecture == "arm64"


async def test_an_index_is_found_again_by_its_own_digest(
    registry: RegistryServer, store: ImageStore
) -> None:
    image = build_image({"pinned": b"index"})
    registry.put_image(image, "index/pinned", "1")
    index = build_index([image.descriptor({"os": "linux", "architecture": "amd64"})])
    registry.put_manifest("index/pinned", "index", index)
    name = f"{registry.host}/index/pinned@{digest_of(index)}"
    pulled = await fetch(store, name, platform="linux/amd64")
    assert pulled.digest == image.digest
    assert store.find(name) == pulled


async def test_a_name_that_is_not_there_says_so_and_what_to_do(
    registry: RegistryServer, store: ImageStore
) -> None:
    with pytest.raises(ImageNotFound) as caught:
        await fetch(store, f"{registry.host}/no/such:thing")
    assert str(caught.value) == (
        f"'{registry.host}/no/such:thing' is not on {registry.host}; "
        f"check the name or run `wherry login {registry.host}`"
    )


async def test_nobody_listening_is_told_at_once(store: ImageStore) -> None:
    begun = time.monotonic()
    with pytest.raises(RegistryError, match="cannot be reached"):
        await pull(store, Reference.parse("127.0.0.1:1/x"), credentials=NOBODY)
    assert time.monotonic() - begun < 2


async def test_a_flipped_byte_in_the_registry_s_storage_is_refused(
    registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    image = build_image({"flip": noise(100_000)})
    registry.put_image(image, "corrupt/flip", "1")
    path = registry.blob_file(image.layers[1])
    data = bytearray(path.read_bytes())
    data[5000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageCorrupt, match=image.layers[1]):
        await fetch(store, f"{registry.host}/corrupt/flip:1")
    assert nothing_usable(store, tmp_path / "store")
    assert not store.blobs.has(image.layers[1])
    data[5000] ^= 1
    path.write_bytes(data)
    assert (await fetch(store, f"{registry.host}/corrupt/flip:1")).digest == image.digest


@pytest.mark.parametrize("change", [-1, 1])
async def test_a_blob_of_another_size_is_refused(
    registry: RegistryServer, store: ImageStore, tmp_path: Path, change: int
) -> None:
    image = build_image({"size": noise(10_000, seed=change + 5)})
    registry.put_image(image, "corrupt/size", "1")
    path = registry.blob_file(image.layers[1])
    data = path.read_bytes()
    path.write_bytes(data[:-1] if change < 0 else data + b"x")
    with pytest.raises(ImageCorrupt, match=f"{image.layers[1]} should have {len(data)} bytes"):
        await fetch(store, f"{registry.host}/corrupt/size:1")
    assert nothing_usable(store, tmp_path / "store")


async def test_a_manifest_that_was_changed_in_storage_is_refused(
    registry: RegistryServer, store: ImageStore
) -> None:
    image = build_image({"manifest": b"x"})
    registry.put_image(image, "corrupt/manifest", "1")
    path = registry.blob_file(image.digest)
    path.write_bytes(image.manifest + b" ")
    with pytest.raises((ImageCorrupt, RegistryError)):
        await fetch(store, f"{registry.host}/corrupt/manifest@{image.digest}")


async def test_progress_tells_every_step_of_every_layer_in_order(
    registry: RegistryServer, store: ImageStore
) -> None:
    image = build_image(BIG)
    registry.put_image(image, "progress/box", "1")
    events: list[LayerProgress] = []
    name = Reference.parse(f"{registry.host}/progress/box:1")
    await pull(store, name, progress=events.append, credentials=NOBODY)
    for digest in image.layers:
        mine = [event for event in events if event.digest == digest]
        states = list(dict.fromkeys(event.state for event in mine))
        assert states == ["waiting", "downloading", "extracting", "done"]
        counts = [event.done for event in mine]
        assert counts == sorted(counts)
        assert counts[-1] == mine[-1].total == len(image.blobs[digest])


async def test_a_killed_pull_leaves_nothing_usable_and_the_next_one_resumes(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore, tmp_path: Path
) -> None:
    image = build_image(BIG)
    big = image.layers[1]
    registry.put_image(image, "killed/box", "1")
    name = f"{proxy.host}/killed/box:1"
    proxy.stall_after = 3 * MIB
    process = await start_puller(tmp_path / "store", name)
    assert process.stdout is not None
    await asyncio.wait_for(proxy.stalled.wait(), 30)
    (first,) = proxy.blob(big)
    came = first.sent
    while int(await asyncio.wait_for(process.stdout.readline(), 30)) < came:
        pass
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    proxy.stall_after = None
    proxy.released.set()

    assert nothing_usable(store, tmp_path / "store")
    assert not store.blobs.has(big)
    pulled = await fetch(store, name)
    assert (pulled.rootfs / "big").read_bytes() == BIG["big"]
    _, second = proxy.blob(big)
    assert came >= 3 * MIB
    assert second.range == f"bytes={came}-"
    assert second.sent == len(image.blobs[big]) - came
    assert len(proxy.blob(image.layers[0])) == 1, "what was whole is not fetched again"
    assert list((tmp_path / "store" / "partial").iterdir()) == []


async def test_garbage_that_a_killed_pull_left_is_not_believed(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore, tmp_path: Path
) -> None:
    image = build_image(BIG)
    big = image.layers[1]
    registry.put_image(image, "garbage/box", "1")
    partial = tmp_path / "store" / "partial"
    partial.mkdir(parents=True)
    (partial / big.replace(":", "-")).write_bytes(bytes(MIB))
    pulled = await fetch(store, f"{proxy.host}/garbage/box:1")
    assert (pulled.rootfs / "big").read_bytes() == BIG["big"]
    assert [seen.range for seen in proxy.blob(big)] == [f"bytes={MIB}-", None]


async def test_two_pulls_in_one_process_fetch_everything_once(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore
) -> None:
    image = build_image(BIG)
    registry.put_image(image, "twice/box", "1")
    name = f"{proxy.host}/twice/box:1"
    one, two = await asyncio.gather(fetch(store, name), fetch(store, name))
    assert one == two
    assert proxy.manifests() == 1
    assert [len(proxy.blob(digest)) for digest in image.blobs] == [1, 1, 1]


async def test_two_processes_fetch_every_blob_once(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore, tmp_path: Path
) -> None:
    image = build_image(BIG)
    registry.put_image(image, "processes/box", "1")
    name = f"{proxy.host}/processes/box:1"
    both_here = asyncio.Event()

    async def wait_for_both(path: str) -> None:
        if proxy.manifests() == 2:
            both_here.set()
        if "/blobs/" in path:
            await asyncio.wait_for(both_here.wait(), 30)

    proxy.before = wait_for_both
    processes = [await start_puller(tmp_path / "store", name) for _ in range(2)]
    for process in processes:
        await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0
    assert proxy.manifests() == 2
    assert [len(proxy.blob(digest)) for digest in image.blobs] == [1, 1, 1]
    found = store.find(name)
    assert found is not None
    assert found.digest == image.digest


async def test_cancelling_is_prompt_and_keeps_what_came(
    registry: RegistryServer, proxy: RegistryProxy, store: ImageStore, tmp_path: Path
) -> None:
    image = build_image(BIG)
    big = image.layers[1]
    registry.put_image(image, "cancelled/box", "1")
    name = f"{proxy.host}/cancelled/box:1"
    proxy.stall_after = 2 * MIB
    arrived: asyncio.Queue[int] = asyncio.Queue()

    def progress(event: LayerProgress) -> None:
        if event.digest == big:
            arrived.put_nowait(event.done)

    task = asyncio.create_task(
        pull(store, Reference.parse(name), progress=progress, credentials=NOBODY)
    )
    await asyncio.wait_for(proxy.stalled.wait(), 30)
    (first,) = proxy.blob(big)
    came = first.sent
    while await asyncio.wait_for(arrived.get(), 30) < came:
        pass
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 1
    proxy.stall_after = None
    proxy.released.set()
    assert nothing_usable(store, tmp_path / "store")
    await fetch(store, name)
    assert [seen.range for seen in proxy.blob(big)] == [None, f"bytes={came}-"]


async def test_cancelling_does_not_wait_for_somebody_else_s_download(
    registry: RegistryServer, store: ImageStore
) -> None:
    image = build_image({"locked": b"out"})
    registry.put_image(image, "waiting/box", "1")
    waiting = asyncio.Event()

    def progress(event: LayerProgress) -> None:
        if event.state == "downloading":
            waiting.set()

    size = len(image.blobs[image.layers[1]])
    held = Descriptor(media_type="x", digest=image.layers[1], size=size)
    name = Reference.parse(f"{registry.host}/waiting/box:1")
    with store.blobs.begin(held) as writer:
        assert not writer.done
        task = asyncio.create_task(pull(store, name, progress=progress, credentials=NOBODY))
        await asyncio.wait_for(waiting.wait(), 30)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begun < 1
    assert (await fetch(store, str(name))).digest == image.digest


async def test_without_credentials_a_locked_registry_says_how_to_log_in(
    locked_registry: RegistryServer, store: ImageStore
) -> None:
    with pytest.raises(AuthenticationRequired) as caught:
        await fetch(store, f"{locked_registry.host}/secret/box:1")
    assert f"run `wherry login {locked_registry.host}`" in str(caught.value)


async def test_a_wrong_password_is_told_from_none_and_not_repeated_in_words(
    locked_registry: RegistryServer, store: ImageStore
) -> None:
    wrong = FixedCredentials(locked_registry.host, Credentials(USER, "hunter2"))
    name = Reference.parse(f"{locked_registry.host}/secret/box:1")
    with pytest.raises(AuthenticationRequired) as caught:
        await pull(store, name, credentials=wrong, wire=QUICK)
    assert "does not accept the credentials of 'ferryman'" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_logging_in_lets_the_default_pull_in_and_logging_out_does_not(
    locked_registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    file = tmp_path / "config" / "auth.json"
    name = Reference.parse(f"{locked_registry.host}/secret/box:1")
    await login(locked_registry.host, Credentials(USER, PASSWORD), file=file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await pull(store, name)).references == (str(name),)
    assert await logout(locked_registry.host, file=file)
    assert not await logout(locked_registry.host, file=file)
    with pytest.raises(AuthenticationRequired):
        await pull(ImageStore(tmp_path / "other"), name)


async def test_logging_in_with_a_wrong_password_stores_nothing(
    locked_registry: RegistryServer, tmp_path: Path
) -> None:
    file = tmp_path / "auth.json"
    file.write_text('{"auths": {"ghcr.io": {"auth": "eDp5"}}, "other": 1}')
    before = file.read_text()
    with pytest.raises(AuthenticationRequired, match="does not accept"):
        await login(locked_registry.host, Credentials(USER, "wrong"), file=file)
    assert file.read_text() == before
    await login(f"http://{locked_registry.host}/v2/", Credentials(USER, PASSWORD), file=file)
    after = json.loads(file.read_text())
    assert set(after["auths"]) == {"ghcr.io", locked_registry.host}
    assert after["other"] == 1


async def test_a_credential_helper_on_path_opens_a_locked_registry(
    locked_registry: RegistryServer,
    store: ImageStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helper = tmp_path / "bin" / "docker-credential-ferry"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credHelpers": {locked_registry.host: "ferry"}}))
    pulled = await pull(store, Reference.parse(f"{locked_registry.host}/secret/box:1"))
    assert (pulled.rootfs / "bin/busybox").exists()
    assert (tmp_path / "asked").read_text() == locked_registry.host


async def test_a_helper_that_is_missing_is_named_when_the_registry_refuses(
    locked_registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credsStore": "nowhere-to-be-found"}))
    with pytest.raises(AuthenticationRequired, match="'docker-credential-nowhere-to-be-found'"):
        await pull(store, Reference.parse(f"{locked_registry.host}/secret/box:1"))


async def test_a_helper_that_is_missing_does_not_matter_for_an_open_registry(
    registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    registry.put_image(build_image(), "open/box", "1")
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credsStore": "nowhere-to-be-found"}))
    assert await pull(store, Reference.parse(f"{registry.host}/open/box:1"))
