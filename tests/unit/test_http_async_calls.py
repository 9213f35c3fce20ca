"""Calls that are queued over HTTP, and what ``/system/calls`` shows and does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.queue_gateway import queue_gateway

from wherry.calls import QueueLimits
from wherry.triggers.http.metrics import Metrics

if TYPE_CHECKING:
    from wherry.calls.model import QueueStats
    from wherry.service.service import FunctionService
    from wherry.testing import Call


async def test_a_queued_call_is_accepted_run_and_shown_with_its_result(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path) as (ask, on):
        answer = await ask("POST /async-function/upper", b"hello")
        assert (answer.status, answer.body) == (202, b"")
        id = answer.headers["x-call-id"]  # noqa: A001
        await on.until(id)
        shown = (await ask(f"GET /system/calls/{id}")).json
        assert (shown["state"], shown["status"], shown["exitCode"]) == ("done", 200, 0)
        assert (shown["name"], shown["namespace"], shown["trigger"]) == (
            "upper", "openfaas-fn", "async",
        )  # fmt: skip
        assert (shown["stdinBytes"], shown["resultBytes"], shown["attempts"]) == (5, 5, 1)
        result = await ask(f"GET /system/calls/{id}/result")
        assert (result.status, result.body) == (200, b"HELLO")
        assert result.headers["content-type"] == "application/octet-stream"
        listed = (await ask("GET /system/calls?name=upper&state=done")).json
        assert [call["id"] for call in listed] == [id]


async def test_the_state_of_the_queue_is_among_the_numbers(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path, working=False) as (ask, on):
        for _ in range(3):
            await ask("POST /async-function/upper", b"x")
        metrics = Metrics()
        text = metrics_text(metrics, on.service, await on.store.stats())
        assert "wherry_queue_depth 3.0" in text
        assert {"wherry_queue_running 0.0", "wherry_queue_dead 0.0", "wherry_queue_callbacks 0.0",
                "wherry_records_dropped_total 0.0"} <= set(text)  # fmt: skip
        (oldest,) = [line for line in text if line.startswith("wherry_queue_oldest_age ")]
        assert float(oldest.split()[1]) >= 0


def metrics_text(metrics: Metrics, service: FunctionService, stats: QueueStats) -> list[str]:
    metrics.watch(service)
    return metrics.text(queue=stats)[0].decode().splitlines()


async def test_the_function_sees_the_request_as_one_that_is_waited_for(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path) as (ask, on):
        on.declared.add("env", "busybox", command=("env",))
        headers = {"X-Who": "me", "X-Call-Id": "mine"}
        waited = await ask("POST /function/env/some/path?q=1", b"x", headers=headers)
        await ask("POST /async-function/env/some/path?q=1", b"x", headers=headers)
        await on.until("mine")
        queued = await on.result("mine")

        def variables(text: bytes) -> set[str]:
            return {line for line in text.decode().splitlines() if line.startswith("Http_")}

        assert variables(queued) == variables(waited.body)
        assert {"Http_Path=/some/path", "Http_Query=q=1", "Http_X_Who=me"} <= variables(queued)


@pytest.mark.parametrize(
    ("line", "headers", "status", "says"),
    [
        ("POST /async-function/nobody", {}, 404, "nobody"),
        ("GET /async-function/upper", {}, 405, "POST"),
        ("POST /async-function/upper", {"X-Callback-Url": "ftp://x"}, 400, "X-Callback-Url"),
        ("POST /async-function/upper", {"X-Call-Id": "a b"}, 400, "X-Call-Id"),
        ("POST /async-function/upper", {"X-Timeout": "soon"}, 400, "X-Timeout"),
        ("POST /async-function/upper", {"X-Call-Id": "taken"}, 409, "'taken'"),
    ],
)
async def test_what_cannot_be_queued_is_refused_in_one_line(
    tmp_path: Path, line: str, headers: dict[str, str], status: int, says: str
) -> None:
    async with queue_gateway(tmp_path, working=False) as (ask, on):
        await on.put(id="taken")
        answer = await ask(line, b"x", headers=headers)
        assert (answer.status, answer.text.count("\n")) == (status, 1)
        assert says in answer.text
        assert (await on.store.stats()).queued == 1


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_that_is_too_large_is_a_413_with_the_limit(
    tmp_path: Path, chunked: bool
) -> None:
    async with queue_gateway(tmp_path, limits=QueueLimits(max_body=1000)) as (ask, on):
        on.declared.add("small", "busybox", max_body=10)
        for name, most in (("upper", "1000 bytes"), ("small", "10 bytes")):
            data = b"x" * 1001
            answer = await ask(
                f"POST /async-function/{name}", data, chunks=[data] if chunked else None
            )
            assert answer.status == 413
            assert most in answer.text
        assert await on.store.list() == []


async def test_a_full_queue_is_a_503_with_retry_after(tmp_path: Path) -> None:
    limits = QueueLimits(max_depth=1)
    async with queue_gateway(tmp_path, limits=limits, working=False) as (ask, _):
        assert (await ask("POST /async-function/upper", b"x")).status == 202
        answer = await ask("POST /async-function/upper", b"x")
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0


async def test_calls_are_cancelled_and_asked_for_again(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path, working=False) as (ask, _):
        await ask("POST /async-function/upper", b"x", headers={"X-Call-Id": "c1"})
        early = await ask("GET /system/calls/c1/result")
        assert (early.status, "no result yet" in early.json["error"]) == (409, True)
        ended = await ask("DELETE /system/calls/c1")
        assert (ended.status, ended.json["state"]) == (202, "cancelled")
        again = await ask("DELETE /system/calls/c1")
        assert again.status == 409
        assert "cancelled" in again.json["error"]
        retried = await ask("POST /system/calls/c1/retry")
        assert (retried.status, retried.json["state"]) == (202, "queued")
        assert (await ask("POST /system/calls/c1/retry")).status == 409


async def test_the_end_of_a_call_is_waited_for_by_everybody_who_asks(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def waits(call: Call) -> None:
        await gate.wait()

    async with queue_gateway(tmp_path, programs={"waits": waits}) as (ask, on):
        on.declared.add("waits", "waits")
        await ask("POST /async-function/waits", b"", headers={"X-Call-Id": "c1"})
        soon = await ask("GET /system/calls/c1?wait=0.01")
        assert soon.json["state"] in ("queued", "running")
        asked = [asyncio.create_task(ask("GET /system/calls/c1?wait=60")) for _ in range(3)]
        await on.until("c1", "running")
        gate.set()
        assert {(await each).json["state"] for each in asked} == {"done"}
        assert on.store._awaited == {}
        assert (await ask("GET /system/calls/c1?wait=-1")).status == 400


async def test_calls_that_do_not_exist_are_json_errors(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path, working=False) as (ask, _):
        for line in (
            "GET /system/calls/none",
            "DELETE /system/calls/none",
            "GET /system/calls/none/result",
            "POST /system/calls/none/retry",
        ):
            answer = await ask(line)
            assert answer.status == 404
            assert "'none'" in answer.json["error"]
        assert (await ask("GET /system/calls?limit=0")).status == 400
        assert (await ask(f"GET /system/calls?before={2**63 - 1}")).status == 200
        assert (await ask(f"GET /system/calls?before={2**63}")).status == 400
        assert "limit" in (await ask("GET /system/calls?limit=0")).json["error"]
        assert (await ask("GET /system/calls?state=lost")).status == 400


async def test_pages_of_calls_follow_each_other(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path, working=False) as (ask, on):
        ids = [(await on.put()).id for _ in range(5)]
        first = (await ask("GET /system/calls?limit=3")).json
        second = (await ask(f"GET /system/calls?limit=3&before={first[-1]['number']}")).json
        assert [call["id"] for call in first + second] == ids[::-1]


async def test_a_dead_call_says_why_and_shows_its_stderr(tmp_path: Path) -> None:
    async with queue_gateway(tmp_path) as (ask, on):
        script = "echo partly; echo because >&2; exit 7"
        on.declared.add("bad", "busybox", command=("sh", "-c", script), retries=0)
        await on.until((await on.put("bad", id="c1")).id)
        shown = (await ask("GET /system/calls/c1")).json
        assert (shown["state"], shown["status"], shown["exitCode"]) == ("dead", 500, 7)
        assert shown["stderr"] == "because\n"
        assert "exit status 7" in shown["error"]
        lines = await ask("GET /system/logs?name=bad&instance=c1")
        assert "because" in lines.text
