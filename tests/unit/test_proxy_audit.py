"""The audit log: a line for each verdict, and a file that does not grow for ever."""

from __future__ import annotations

import json
from pathlib import Path

from wherry.proxy.audit import Audit, Entry


def entry(**more: str) -> Entry:
    return Entry(tenant="ci", verb="container.create", verdict="denied", status=403, **more)


def test_a_line_says_who_what_and_by_which_rule(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "audit.jsonl"
    audit = Audit(path)
    audit.write(entry(rule="2.3 Privileged", reason="no\nline \u2028 ends"))
    audit.close()
    (line,) = path.read_text().splitlines()
    told = json.loads(line)
    assert told.pop("time") > 0
    assert told == {
        "tenant": "ci", "verb": "container.create", "verdict": "denied", "status": 403,
        "rule": "2.3 Privileged", "reason": "no\nline \u2028 ends",
    }  # fmt: skip
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_a_client_says_is_cut(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "log")
    audit.write(entry(reason="x" * 10_000))
    audit.close()
    assert len((tmp_path / "log").read_text()) < 1000


def test_a_full_file_makes_room_for_one_more_and_no_third(tmp_path: Path) -> None:
    path = tmp_path / "log"
    audit = Audit(path, full=1000)
    for _ in range(100):
        audit.write(entry())
    audit.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1"]
    assert all(each.stat().st_size <= 1000 for each in tmp_path.iterdir())


def test_without_a_file_nothing_is_written_and_nothing_fails() -> None:
    audit = Audit()
    audit.write(entry())
    audit.close()
