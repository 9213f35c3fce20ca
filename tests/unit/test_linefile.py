"""Files of lines: bounded, and never two lines in one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.web.linefile import LineFile


def test_a_full_file_makes_room_and_older_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = LineFile(path, full=20, kept=2)
    for number in range(10):
        lines.write(b"line %03d\n" % number)
    lines.close()
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        "log": b"line 008\nline 009\n",
        "log.1": b"line 006\nline 007\n",
        "log.2": b"line 004\nline 005\n",
    }


def test_a_file_that_is_there_goes_on_and_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for line in (b"one\n", b"two\n"):
        lines = LineFile(path)
        lines.write(line)
        lines.close()
        lines.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_that_was_cut_by_a_full_disk_does_not_swallow_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    lines = LineFile(tmp_path / "log")
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    with pytest.raises(OSError, match="No space left"):
        lines.write(b"first\n")
    monkeypatch.undo()
    lines.write(b"second\n")
    lines.close()
    assert (tmp_path / "log").read_bytes() == b"fir\nsecond\n"
