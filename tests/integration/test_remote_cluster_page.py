"""The page on clusters, done as a reader would."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.pages import Reader

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "remote-cluster.md"


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="wherry-page-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path)


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


def test_the_page_on_clusters_is_true(
    directory: Path, dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{dockerd.socket}")
    reader = Reader(directory, changes={"1717": free_port(), "1718": free_port()})
    reader.read(PAGE)
    assert reader.done > 0
