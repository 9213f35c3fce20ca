"""What holds for every test: a known environment, and nothing of the user's own touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.require import require_root

_FOREIGN = (
    "PYTHONDONTWRITEBYTECODE",  # slows every Python that a test starts
    "PYTHONPATH",
    "SSL_CERT_FILE",  # these override the certificates a test makes
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "http_proxy",  # these lead away from servers on the loopback interface
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "DOCKER_HOST",  # these would name the user's own engine or registry login
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "NO_COLOR",
    "FORCE_COLOR",
)
_HOMES = ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")


@pytest.fixture(scope="session", autouse=True)
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Clean the environment that child processes inherit; yield a home directory of their own."""
    home = tmp_path_factory.mktemp("home", numbered=False)
    with pytest.MonkeyPatch.context() as patch:
        for name in _FOREIGN:
            patch.delenv(name, raising=False)
        for name in [name for name in os.environ if name.startswith("WHERRY_")]:
            if name != "WHERRY_REQUIRE":
                patch.delenv(name)
        for name in _HOMES:
            path = home / name.lower()
            path.mkdir()
            patch.setenv(name, str(path))
        yield home


@pytest.fixture(autouse=True)
def _root_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        require_root()
