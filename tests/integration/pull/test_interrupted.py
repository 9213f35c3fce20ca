"""Pulls that are killed or cancelled, and pulls beside each other: no byte is fetched twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.oci_layout import build_image
from tests.support.pulling import BIG, MIB, NOBODY, fetch, nothing_usable
from tests.support.waiting import wait_until

from wherry.images.model import Descriptor
from wherry.images.pull import pull
from wherry.images.reference import Reference

if TYPE_CHECKING:
    from tests.support.registry import RegistryServer
    from tests.support.registry_proxy import RegistryProxy

    from wherry.images.progress import LayerProgress
    from wherry.images.store import ImageStore

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
    await asyncio.to_thread(wait_until, lambda: store.blobs.has(image.layers[0]))
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
