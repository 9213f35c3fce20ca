"""Node states in a directory."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wherry.errors import EngineUnavailable, UsageError
from wherry.remote.cluster.folder import Folder
from wherry.remote.cluster.state import LARGEST


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Folder]:
    made = Folder(tmp_path / "a" / "b")
    yield made
    await made.aclose()


async def test_a_folder_that_is_missing_is_made_for_us_alone(
    folder: Folder, tmp_path: Path
) -> None:
    await folder.write("one.json", b"{}")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b" / "one.json").stat().st_mode & 0o777 == 0o600


async def test_what_was_written_is_read_with_an_age_by_the_same_clock(folder: Folder) -> None:
    await folder.write("one.json", b"1")
    snapshot = await folder.read(within=90)
    (entry,) = snapshot.entries
    assert (entry.name, entry.data) == ("one.json", b"1")
    assert -0.1 < snapshot.now - entry.modified < 60


async def test_a_clock_of_the_file_system_that_differs_from_ours_changes_no_age(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Folder(tmp_path / "f")
    await folder.write("one.json", b"1")
    monkeypatch.setattr("time.time", lambda: 5.0)  # ours stands in 1970
    snapshot = await folder.read(within=90)
    assert abs(snapshot.now - snapshot.entries[0].modified) < 60
    await folder.aclose()


async def test_a_folder_that_was_removed_is_made_again(folder: Folder, tmp_path: Path) -> None:
    await folder.write("one.json", b"1")
    (tmp_path / "a" / "b" / "one.json").unlink()
    (tmp_path / "a" / "b").rmdir()
    assert (await folder.read(within=90)).entries == []
    await folder.write("one.json", b"2")
    await folder.remove("one.json")
    await folder.remove("one.json")
    assert (await folder.read(within=90)).entries == []


async def test_a_reader_sees_the_old_file_or_the_new_one_and_never_a_part(
    folder: Folder, tmp_path: Path
) -> None:
    texts = {json.dumps({"n": n, "x": "x" * 3000}).encode() for n in range(2)}
    await folder.write("one.json", min(texts))
    path = tmp_path / "a" / "b" / "one.json"
    seen: set[bytes] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for _ in range(30):
            for text in texts:
                await folder.write("one.json", text)
    finally:
        stop.set()
        thread.join()
    assert seen <= texts
    assert [each.name for each in path.parent.iterdir()] == ["one.json"]


async def test_what_is_no_file_is_left_out_and_large_ones_are_not_read_whole(
    folder: Folder, tmp_path: Path
) -> None:
    await folder.write("one.json", b"1")
    inside = tmp_path / "a" / "b"
    (inside / "folder").mkdir()
    os.mkfifo(inside / "pipe")
    (inside / "link").symlink_to("/etc/passwd")
    (inside / "dangling").symlink_to("nowhere")
    (inside / ".hidden").write_text("x")
    (inside / "large").write_bytes(b"x" * 10 * LARGEST)
    entries = (await folder.read(within=90)).entries
    assert [(each.name, len(each.data)) for each in entries] == [
        ("large", LARGEST + 1),
        ("one.json", 1),
    ]


async def test_a_folder_that_strangers_can_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    folder = Folder(tmp_path)
    with pytest.raises(UsageError, match="can be written to by others"):
        await folder.read(within=90)
    await folder.aclose()


async def test_a_path_that_is_no_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = Folder(tmp_path / "file")
    with pytest.raises(EngineUnavailable, match="cannot be used: it is a file, not a folder"):
        await folder.write("one.json", b"1")
    await folder.aclose()
