"""The pages on policies and on the remote engine, read beside a server."""

from __future__ import annotations

import asyncio
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.pages import Reader, blocks
from tests.support.remote_server import TOKEN
from tests.support.remote_started import remote_process

from wherry.remote.policy_file import read_policies

if TYPE_CHECKING:
    import pytest
    from tests.support.dockerd import Dockerd

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


async def test_the_page_on_the_remote_engine_is_true(
    dockerd: Dockerd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHERRY_TOKEN", TOKEN)
    (tmp_path / "token").write_text(TOKEN)
    async with remote_process(dockerd) as server:
        here = f"remote+http://127.0.0.1:{server.port}"
        reader = Reader(tmp_path, changes={"remote+https://box.example.com:1717": here})
        await asyncio.to_thread(reader.read, HOW_TO / "remote-engine.md")
    assert reader.done == 2


def test_the_policy_on_its_page_is_one() -> None:
    page = HOW_TO / "remote-policies.md"
    (policy,) = (block.text for block in blocks(page.read_text()) if block.lang == "toml")
    assert read_policies(tomllib.loads(policy)).of("alice").capabilities == ("NET_ADMIN",)
