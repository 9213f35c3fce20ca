"""``wherry calls``: what it asks a gateway, what it prints, how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_gateway import FakeGateway, fake_gateway

from wherry.cli import main

Run = Callable[..., tuple[int, str, str]]


def document(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"c{number}", "name": "upper", "namespace": "openfaas-fn", "trigger": "async",
        "state": "done", "createdAt": "2026-01-02T03:04:05Z", "attempts": 1, "stdinBytes": 5,
        "stdoutBytes": 5, "number": number, "status": 200, "durationSeconds": 0.25, **more,
    }  # fmt: skip


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGateway]:
    monkeypatch.setenv("WHERRY_CONFIG_DIR", str(tmp_path))
    monkeypatch.delenv("WHERRY_TOKEN", raising=False)
    with fake_gateway() as fake:
        monkeypatch.setenv("WHERRY_GATEWAY", fake.url)
        yield fake


@pytest.fixture
def run(gateway: FakeGateway, capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str) -> tuple[int, str, str]:
        code = main(["calls", *words])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_calls_are_listed_page_after_page_in_a_table(gateway: FakeGateway, run: Run) -> None:
    dead = document(1, state="dead", status=500, namespace="dev", cancelling=True)
    del dead["durationSeconds"]
    first = "GET /system/calls?name=upper&state=dead&trigger=async&limit=3"
    gateway.replies[first] = (200, [document(3), document(2)])
    gateway.replies["GET /system/calls"] = (200, [dead])
    words = ["ls", "--function", "upper", "--state", "dead", "--queued", "-l", "3"]
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    rows = [line.split()[:6] for line in out.splitlines()]
    assert rows == [
        ["ID", "FUNCTION", "STATE", "STATUS", "TRIES", "TOOK"],
        ["c3", "upper", "done", "200", "1", "0.250s"],
        ["c2", "upper", "done", "200", "1", "0.250s"],
        ["c1", "upper.dev", "cancelling", "500", "1", "-"],
    ]
    second = "GET /system/calls?name=upper&state=dead&trigger=async&before=2&limit=1"
    assert gateway.lines == [first, second]


def test_calls_are_listed_as_ids_or_json(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["GET /system/calls"] = (200, [document(1)])
    assert run("ls", "-q", "-l", "1") == (0, "c1\n", "")
    code, out, _ = run("ls", "--json", "-l", "1")
    assert (code, json.loads(out)) == (0, [document(1)])


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--state", "ded"], "did you mean 'dead'"), (["-l", "0"], "--limit"), (["-l", "x"], "'x'")],
)
def test_a_list_that_cannot_be_is_explained(
    run: Run, gateway: FakeGateway, words: list[str], says: str
) -> None:
    code, out, err = run("ls", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert gateway.lines == []


def test_all_that_is_known_of_a_call_is_shown(gateway: FakeGateway, run: Run) -> None:
    callback = {"url": "http://me/", "state": "pending", "attempts": 2, "error": "refused"}
    gateway.replies["GET /system/calls/c1"] = (
        200, document(1, stderr="one\n\x1b[2Jtwo\n", callback=callback),
    )  # fmt: skip
    code, out, _ = run("show", "c1")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["Call", "c1"] in lines
    assert ["Took", "0.250s"] in lines
    assert ["Callback", "http://me/"] in lines
    assert ["error", "refused"] in lines
    assert out.endswith("Stderr\n  one\n  \\x1b[2Jtwo\n")


def test_a_call_that_is_not_there_is_an_error(run: Run) -> None:
    code, out, err = run("show", "none")
    assert (code, out) == (2, "")
    assert "the fake has no answer" in err


def test_a_result_is_printed_byte_for_byte(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["GET /system/calls/c1/result"] = (200, "as it is")
    assert run("result", "c1") == (0, "as it is", "")
    gateway.replies["GET /system/calls/c1/result"] = (409, {"error": "it has no result yet"})
    code, out, err = run("result", "c1")
    assert (code, out) == (2, "")
    assert "no result yet" in err


def test_a_result_is_waited_for(gateway: FakeGateway, run: Run) -> None:
    gateway.replies["GET /system/calls/c1"] = (200, document(1))
    gateway.replies["GET /system/calls/c1/result"] = (200, "late")
    assert run("result", "--wait", "c1") == (0, "late", "")
    assert gateway.lines == ["GET /system/calls/c1?wait=30", "GET /system/calls/c1/result"]


def test_lines_of_a_call_come_from_the_log_or_else_from_its_record(
    gateway: FakeGateway, run: Run
) -> None:
    gateway.replies["GET /system/calls/c1"] = (200, document(1, stderr="kept\n"))
    line = {"name": "upper", "namespace": "openfaas-fn", "instance": "c1",
            "timestamp": "2026-01-02T03:04:05Z", "text": "logged"}  # fmt: skip
    asked = "GET /system/logs?name=upper&namespace=openfaas-fn&instance=c1"
    gateway.replies[asked] = (200, json.dumps(line) + "\n")
    assert run("logs", "c1") == (0, "logged\n", "")
    gateway.replies[asked] = (200, "")
    assert run("logs", "c1") == (0, "kept\n", "")


def test_calls_are_cancelled_and_retried_by_id(gateway: FakeGateway, run: Run) -> None:
    for line in ("DELETE /system/calls/c1", "DELETE /system/calls/c%2F2",
                 "POST /system/calls/c1/retry"):  # fmt: skip
        gateway.replies[line] = (202, document(1))
    assert run("cancel", "c1", "c/2") == (0, "c1\nc/2\n", "")
    assert run("retry", "c1") == (0, "c1\n", "")
    assert gateway.lines == [
        "DELETE /system/calls/c1", "DELETE /system/calls/c%2F2", "POST /system/calls/c1/retry",
    ]  # fmt: skip
