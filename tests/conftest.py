"""What holds for every test: a known environment, and nothing of the user's own touched."""

from __future__ import annotations

import gc
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.support.dockerd import dockerd, dockerd_tls  # noqa: F401 - fixtures of the session
from tests.support.environment import unwanted
from tests.support.rabbitmq import rabbit  # noqa: F401 - a fixture of the session
from tests.support.require import require_root

# No database: runs of several users share the checkout. No deadline: the machine may be busy.
settings.register_profile("wherry", database=None, deadline=None)
settings.load_profile("wherry")

_HOMES = (
    "HOME",
    "XDG_DATA_HOME",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_STATE_HOME",
    "WHERRY_DATA_DIR",
    "WHERRY_CONFIG_DIR",
)


# A job in the background of a shell ignores these, and so would all that the tests start.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays until the end: every test, every module."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[Path]:
    """Clean the environment that child processes inherit; yield a home directory of their own."""
    # Not one of pytest's own directories: no other user can pass those, and sandboxes must.
    home = Path(tempfile.mkdtemp(prefix="wherry-tests-", dir="/var/tmp"))
    home.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch:
        for name in unwanted():
            patch.delenv(name)
        for name in _HOMES:
            path = home / name.lower()
            path.mkdir()
            patch.setenv(name, str(path))
        yield home
    shutil.rmtree(home)


@pytest.fixture(autouse=True)
def _root_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root"):
        require_root()
