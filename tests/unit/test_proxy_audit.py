"""The audit log: a line for each verdict, and a file that does not grow for ever."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wherry.proxy.audit import Audit, Entry, Verdict
from wherry.proxy.handlers.dispatch import may_have_changed
from wherry.proxy.policy.operations import Operation


def entry(
    *, verb: str = "container.create", rule: str = "", reason: str = "", is_change: bool = True
) -> Entry:
    return Entry(
        tenant="ci", verb=verb, verdict="denied", status=403, rule=rule, reason=reason,
        is_change=is_change,
    )  # fmt: skip


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


def test_full_files_are_kept_up_to_a_number(tmp_path: Path) -> None:
    path = tmp_path / "log"
    audit = Audit(path, full=1000, kept=2)
    for number in range(100):
        audit.write(entry(reason=f"{number}"))
    audit.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert all(each.stat().st_size <= 1000 for each in tmp_path.iterdir())
    told = [json.loads(line)["reason"] for name in ("log.2", "log.1", "log")
            for line in (tmp_path / name).read_text().splitlines()]  # fmt: skip
    assert told == [f"{number}" for number in range(100 - len(told), 100)]


def test_a_flood_of_what_changes_nothing_pushes_nothing_out(tmp_path: Path) -> None:
    now = [0.0]
    audit = Audit(tmp_path / "log", clock=lambda: now[0])
    for _ in range(5000):
        audit.write(entry(is_change=False))
    audit.write(replace(entry(is_change=False), tenant="other"))
    audit.write(entry(verb="container.remove"))
    now[0] = 1.0
    for _ in range(100):
        audit.write(entry(is_change=False))
    audit.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(lines) == 2000 + 1 + 1 + 50
    other, done, *_ = lines[2000:]
    assert (other["tenant"], done["verb"]) == ("other", "container.remove")
    assert done["left_out"] == 3000
    assert all("left_out" not in line for line in (other, *lines[2002:]))


def test_without_a_file_nothing_is_written_and_nothing_fails() -> None:
    audit = Audit()
    audit.write(entry())
    audit.close()


@pytest.mark.parametrize(
    ("method", "operation", "verdict", "status", "changed"),
    [
        ("POST", Operation.CONTAINER_CREATE, "allowed", 0, True),
        ("POST", Operation.CONTAINER_CREATE, "failed", 0, True),
        ("POST", Operation.CONTAINER_CREATE, "failed", 500, True),
        ("POST", Operation.CONTAINER_KILL, "failed", 409, False),
        ("POST", Operation.CONTAINER_CREATE, "denied", 403, False),
        ("POST", Operation.CONTAINER_WAIT, "allowed", 0, False),
        ("GET", Operation.CONTAINER_LIST, "allowed", 0, False),
    ],
)
def test_what_may_have_changed_something_is_no_flood(
    *, method: str, operation: Operation, verdict: Verdict, status: int, changed: bool
) -> None:
    assert may_have_changed(method, operation, verdict=verdict, status=status) is changed
