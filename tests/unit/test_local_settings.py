"""Where the local engine keeps things, and what it refuses to keep them in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wherry.engines.local.settings import GIB, SANDBOX_ID, LocalSettings, default_limits
from wherry.errors import EngineUnavailable


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_directories_are_made_for_us_alone(tmp_path: Path) -> None:
    settings = LocalSettings(data=tmp_path / "deep" / "data")
    for _ in range(2):
        settings.make_directories()
        assert mode(settings.data) == 0o700
        assert mode(settings.scratch) == 0o755
        assert list(settings.scratch.iterdir()) == []


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "data", Path("/proc/nowhere")):
        with pytest.raises(EngineUnavailable, match=f"data directory {place}.*--data-dir"):
            LocalSettings(data=place).make_directories()


@pytest.mark.root
def test_as_root_the_sandbox_user_can_pass_and_nobody_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    settings = LocalSettings(data=tmp_path / "data", sandbox=(SANDBOX_ID, SANDBOX_ID))
    for parent in tmp_path.parents:
        if not parent.stat().st_mode & 0o001:
            with pytest.raises(EngineUnavailable, match=f"lies below {parent}, which the sandbox"):
                settings.make_directories()
            break
    else:
        settings.make_directories()
    assert mode(settings.data) == 0o710
    assert settings.data.stat().st_gid == SANDBOX_ID


def test_defaults_follow_the_machine() -> None:
    defaults = default_limits()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < defaults.tmp <= min(memory // 4, 4 * GIB)
    assert defaults.memory == memory // 2
    assert defaults.pids == 1024


def test_the_sandbox_user_is_nobody_on_this_machine() -> None:
    import pwd

    assert SANDBOX_ID not in {account.pw_uid for account in pwd.getpwall()}
    assert SANDBOX_ID > 65534 * 1024


def test_sandboxes_are_never_root_on_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for sandbox in ((0, 0), (SANDBOX_ID, 0), (0, SANDBOX_ID)):
        with pytest.raises(EngineUnavailable, match="makes sandboxes root on this machine"):
            LocalSettings(data=Path("/x"), sandbox=sandbox).check_sandbox()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    LocalSettings(data=Path("/x")).check_sandbox()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    LocalSettings(data=Path("/x"), sandbox=(SANDBOX_ID, SANDBOX_ID)).check_sandbox()
    with pytest.raises(EngineUnavailable, match="sandbox = None makes sandboxes root"):
        LocalSettings(data=Path("/x")).check_sandbox()
