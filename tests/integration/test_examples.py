"""Every example, run as its README says, with what it prints compared."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.page_gateway import room_for_a_gateway
from tests.support.pages import Reader
from tests.support.require import require

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(page.parent.name for page in EXAMPLES.glob("*/README.md"))
PROGRAMS = {"thumbnails": ("pngtopnm", "pamscale", "pnmtojpeg")}
"""What an example needs of this machine besides Python."""
ON_DOCKER = frozenset({"vote"})
"""Examples that need a Docker engine: the tests give them their own."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that also a sandbox's user can enter."""
    path = Path(tempfile.mkdtemp(prefix="wherry-example-", dir="/var/tmp"))
    path.chmod(0o755)
    before = os.umask(0o022)
    yield path
    os.umask(before)
    shutil.rmtree(path)


@pytest.mark.parametrize("name", NAMES)
def test_the_example_does_what_its_readme_says(
    name: str, place: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program in PROGRAMS.get(name, ()):
        require(program)
    if name in ON_DOCKER:
        dockerd: Dockerd = request.getfixturevalue("dockerd")
        monkeypatch.setenv("DOCKER_HOST", f"unix://{dockerd.socket}")
    copy = shutil.copytree(EXAMPLES / name, place / name)
    with room_for_a_gateway() as changes:
        reader = Reader(copy, changes=changes)
        reader.read(copy / "README.md")
    assert reader.done > 0


def test_the_table_has_every_example() -> None:
    table = (EXAMPLES / "README.md").read_text()
    directories = {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"__pycache__"}
    assert directories == set(NAMES)
    assert all(f"({name}/README.md)" in table for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_of_an_example_is_short(name: str) -> None:
    assert len((EXAMPLES / name / "README.md").read_text().splitlines()) <= 20
