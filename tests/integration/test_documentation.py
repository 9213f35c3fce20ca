"""Every command and every program of the documentation, run as a reader would, and compared."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.oci_layout import build_image
from tests.support.page_gateway import room_for_a_gateway
from tests.support.pages import Reader
from tests.support.registry import registry_server

from wherry.engines.local import cgroup, private_network
from wherry.sync.default import close_default

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd
    from tests.support.rabbitmq import Rabbit

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = DOCS / "how-to"
ELSEWHERE = {
    "README.md",
    "private-registry.md",
    "docker-engine.md",
    "dispatch.md",
    "remote.md",
    "remote-cluster.md",
    "remote-engine.md",
    "scoped-docker.md",
}
"""Pages that have a test of their own."""


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory that also a sandbox's user can enter."""
    path = Path(tempfile.mkdtemp(prefix="wherry-page-", dir="/var/tmp"))
    path.chmod(0o755)
    before = os.umask(0o022)
    yield path
    os.umask(before)
    close_default()
    shutil.rmtree(path)


@pytest.fixture
def changes() -> Iterator[Mapping[str, str]]:
    """What is different here for a page that starts a gateway."""
    with room_for_a_gateway() as changes:
        yield changes


@pytest.fixture(scope="session")
def able() -> frozenset[str]:
    """What blocks of the pages may need, of what there is on this machine."""
    found = {
        "memory limits": cgroup.detect().memory,
        "private networks": private_network.available() is None,
        "static busybox": Path("/bin/busybox").exists(),
    }
    return frozenset(name for name, there in found.items() if there)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The images that the how-to pages say to make."""
    Reader(tmp_path_factory.mktemp("images")).read(HOW_TO / "README.md")


def test_the_quickstart_is_true(directory: Path, changes: Mapping[str, str]) -> None:
    reader = Reader(directory, changes=changes)
    reader.read(DOCS / "quickstart.md")
    assert reader.done > 5


@pytest.mark.parametrize(
    "page", [page.stem for page in sorted(HOW_TO.glob("*.md")) if page.name not in ELSEWHERE]
)
def test_the_how_to_page_is_true(
    page: str,
    directory: Path,
    able: frozenset[str],
    images: None,
    changes: Mapping[str, str],
) -> None:
    reader = Reader(directory, able=able, changes=changes)
    reader.read(HOW_TO / f"{page}.md")
    assert reader.done > 0


def test_the_page_on_private_registries_is_true(directory: Path, tmp_path: Path) -> None:
    with registry_server(tmp_path, authenticated=True) as server:
        server.push(build_image(), "team/tool:latest", scratch=tmp_path)
        reader = Reader(directory, changes={"localhost:5000": server.host})
        reader.read(HOW_TO / "private-registry.md")
    assert reader.done > 2


def test_the_page_on_scoped_sockets_is_true(
    directory: Path, dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{dockerd.socket}")
    reader = Reader(directory)
    reader.read(HOW_TO / "scoped-docker.md")
    assert reader.done > 6


def test_the_page_on_docker_engines_is_true(
    directory: Path, dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{dockerd.socket}")
    reader = Reader(directory)
    reader.read(HOW_TO / "docker-engine.md")
    assert reader.done > 1


def test_the_page_on_dispatch_is_true(
    directory: Path, images: None, changes: Mapping[str, str], rabbit: Rabbit
) -> None:
    reader = Reader(directory, changes={**changes, "amqp://guest:guest@localhost/": rabbit.url})
    reader.read(HOW_TO / "dispatch.md")
    assert reader.done > 5
