"""A disk that fills up under the scoped Docker API: nothing is made that nobody has on record."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.proxying import House

from wherry.proxy.proxy import running_proxy

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

pytestmark = pytest.mark.root


@pytest.fixture
def small_disk() -> Iterator[Path]:
    path = Path(f"/var/tmp/wherry-disk-{os.getpid()}")
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)
        path.rmdir()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(path.parent).f_bavail == 0


async def test_a_full_disk_lets_nothing_be_made_and_is_got_over(
    dockerd: Dockerd, small_disk: Path
) -> None:
    house = House(dockerd, small_disk)
    async with running_proxy(house.options) as proxy:
        house.proxy = proxy
        socket = await house.add("ci")
        assert (await house.docker(socket, "run", "--rm", "busybox", "echo", "one")).text == "one\n"
        fill(small_disk / "fill")
        for words in (("run", "-d", "busybox", "sleep", "99"), ("network", "create", "mine")):
            assert (await house.docker(socket, *words)).code != 0
        assert (await house.docker(socket, "ps", "-aq")).text == ""
        assert house.containers("ci") == []
        (small_disk / "fill").unlink()
        assert (await house.docker(socket, "run", "--rm", "busybox", "echo", "two")).text == "two\n"
        assert list(proxy.registry.pending()) == []
        await proxy.end("ci")
    assert [each["Name"] for each in house.direct("GET", "/networks") if "." in each["Name"]] == []
