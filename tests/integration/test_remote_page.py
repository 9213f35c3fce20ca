"""The page on `wherry remote`: what it shows is true, and its recipes start what they say."""

from __future__ import annotations

import configparser
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.pages import Reader, blocks
from tests.support.require import require

from wherry.cli import remote
from wherry.remote.options import OPTIONS

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "remote.md"


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.root
def test_the_page_on_the_remote_api_is_true(
    dockerd: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require("curl")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{dockerd.socket}")
    changes = {"127.0.0.1 --port 1717": f"127.0.0.1 --port {(port := free_port())}",
               "127.0.0.1:1717": f"127.0.0.1:{port}"}  # fmt: skip
    reader = Reader(tmp_path, changes=changes)
    reader.read(PAGE)
    assert reader.done == 2  # the unit is a file as well


def test_every_option_of_the_page_is_one() -> None:
    known = {name for option in OPTIONS for name in option.names} | {"--host"}
    text = re.sub(r"```sh.*?```|```console.*?```", "", PAGE.read_text(), flags=re.DOTALL)
    assert set(re.findall(r"`(--[a-z_]+)", text)) - known == set()


def test_the_unit_starts_what_there_is() -> None:
    (unit,) = (block.text for block in blocks(PAGE.read_text()) if block.lang == "ini")
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(unit)
    program, name, *options = read["Service"]["ExecStart"].split()
    assert (Path(program).name, name) == ("wherry", "remote")
    assert remote.parser().parse(options).grace == "20s"
