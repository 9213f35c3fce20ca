"""What the tests of pulling share: a store of their own, and real registries to fill it from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.oci_layout import build_image
from tests.support.registry import RegistryServer, registry_server
from tests.support.registry_proxy import RegistryProxy, registry_proxy

from wherry.images.store import ImageStore


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WHERRY_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """Return an empty store."""
    return ImageStore(tmp_path / "store")


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """Run a registry that anybody may read and fill; every test has its own repositories."""
    with registry_server(tmp_path_factory.mktemp("registry") / "r") as server:
        yield server


@pytest.fixture(scope="session")
def locked_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """Run a registry that wants a password, with ``secret/box:1`` in it."""
    directory = tmp_path_factory.mktemp("locked")
    with registry_server(directory / "r", authenticated=True) as server:
        server.push(build_image(), "secret/box:1", scratch=directory)
        yield server


@pytest.fixture
async def proxy(registry: RegistryServer) -> AsyncIterator[RegistryProxy]:
    """Stand between us and the registry, to count and to disturb what is sent."""
    async with registry_proxy(registry.host) as served:
        yield served
