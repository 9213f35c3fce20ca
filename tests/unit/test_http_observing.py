"""What is known of calls from outside: numbers for Prometheus, and a line for each request."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from tests.support.asgi import Asgi
from tests.support.functions import Registry, deployed

from wherry.client import AsyncClient
from wherry.server.journal import JsonLines
from wherry.service.call import Call
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine
from wherry.triggers.http.app import gateway
from wherry.triggers.http.metrics import Metrics
from wherry.triggers.http.parts import Parts
from wherry.triggers.http.paths import Paths
from wherry.web.duplex import AnswerCut

UPPER = deployed("upper", "tr", "a-z", "A-Z")
FAILS = deployed("fails", "false")
CUT = deployed("cut", "sh", "-c", "echo begun; exit 1", stream=True)
SHOP = deployed("shop", "env", path="/shop")


class Whole:
    """A whole gateway, with its numbers."""

    def __init__(self, ask: Asgi, registry: Registry, metrics: Metrics) -> None:
        self.ask = ask
        self.registry = registry
        self.metrics = metrics

    async def number(self, line: str) -> float | None:
        """Return a metric's value, by its name and labels as they are written."""
        text = (await self.ask("GET /metrics")).text
        found = [each for each in text.splitlines() if each.startswith(f"{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else None


@pytest.fixture
async def whole() -> Any:
    registry: Any = Registry(UPPER, FAILS, CUT, SHOP)
    registry.secrets = None
    metrics = Metrics()
    async with AsyncClient(MemoryEngine()) as client:
        service = FunctionService(client, registry, observers=[metrics])
        metrics.watch(service)
        parts = Parts(service=service, functions=registry, metrics=metrics)
        yield Whole(Asgi(gateway(parts)), registry, metrics)
        await service.aclose()


async def test_calls_are_counted_under_the_names_of_openfaas(whole: Whole) -> None:
    for _ in range(3):
        await whole.ask("POST /function/upper", b"a")
    await whole.ask("GET /function/fails")
    name = 'function_name="upper.openfaas-fn"'
    assert await whole.number(f'gateway_function_invocation_total{{code="200",{name}}}') == 3
    assert await whole.number(f'gateway_functions_seconds_count{{code="200",{name}}}') == 3
    assert await whole.number(f"gateway_function_invocation_started_total{{{name}}}") == 3
    assert await whole.number(f"gateway_service_count{{{name}}}") == 1
    assert await whole.number(f"wherry_engine_start_seconds_count{{{name}}}") == 3
    failed = 'gateway_function_invocation_total{code="500",function_name="fails.openfaas-fn"}'
    assert await whole.number(failed) == 1
    assert await whole.number("wherry_calls_running") == 0
    assert await whole.number("wherry_calls_waiting") == 0


async def test_a_removed_functions_numbers_are_dropped(whole: Whole) -> None:
    await whole.ask("POST /function/upper", b"a")
    for changed in whole.registry._watching:
        changed(UPPER.qualified, None)
    started = 'gateway_function_invocation_started_total{function_name="upper.openfaas-fn"}'
    assert await whole.number(started) is None


async def test_a_call_that_outlives_its_function_brings_no_number_back(whole: Whole) -> None:
    call = Call(id="last", deployed=UPPER, trigger="http", began=0.0, status=200)
    whole.metrics.began(call)
    whole.registry.remove(UPPER)
    whole.metrics.ended(call)
    assert UPPER.qualified not in (await whole.ask("GET /metrics")).text


async def test_a_request_is_one_line_without_query_or_body(
    whole: Whole, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="wherry.access"):
        headers = {"X-Call-Id": "me", "Authorization": "Bearer swordfish"}
        await whole.ask("POST /function/upper/x?key=swordfish", b"swordfish", headers=headers)
    (record,) = caplog.records
    line = json.loads(JsonLines().format(record))
    assert {key: line[key] for key in ("method", "path", "status", "call", "function")} == {
        "method": "POST",
        "path": "/function/upper/x",
        "status": 200,
        "call": "me",
        "function": "upper.openfaas-fn",
    }
    assert (line["outcome"], line["bytes"], line["client"]) == ("complete", 9, "127.0.0.1")
    assert "swordfish" not in json.dumps(line)


async def test_a_cut_answer_is_told_from_a_complete_one(
    whole: Whole, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="wherry.access"), pytest.raises(AnswerCut):
        await whole.ask("GET /function/cut")
    assert json.loads(JsonLines().format(caplog.records[0]))["outcome"] == "cut"


def test_a_log_line_says_when_and_what_and_how_it_came_to_that() -> None:
    record = logging.makeLogRecord(
        {"name": "wherry.x", "levelname": "WARNING", "msg": "it %s", "args": ("leaks",),
         "created": 0.5, "msecs": 500, "function": "f"}
    )  # fmt: skip
    assert json.loads(JsonLines().format(record)) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "warning",
        "message": "it leaks",
        "function": "f",
    }


async def test_a_path_of_a_functions_own_leads_to_it(whole: Whole) -> None:
    assert "Http_Path=/cart\n" in (await whole.ask("GET /shop/cart")).text
    assert (await whole.ask("GET /shop")).status == 200
    assert (await whole.ask("GET /shopping")).status == 404


def test_the_longest_prefix_counts_and_ends_at_a_slash() -> None:
    root, shop, cart = (
        deployed(n, path=p) for n, p in zip("abc", ("/", "/s", "/s/c"), strict=True)
    )
    paths = Paths(Registry(root, shop, cart))
    found = {path: paths.find(path) for path in ("/s/c/1", "/s/cc", "/sc", "/", "/s")}
    assert {path: pair and (pair[0].name, pair[1]) for path, pair in found.items()} == {
        "/s/c/1": ("c", "/1"),
        "/s/cc": ("b", "/cc"),
        "/sc": ("a", "/sc"),
        "/": ("a", "/"),
        "/s": ("b", ""),
    }


@pytest.mark.parametrize("path", ["/nothing", "/system/nothing"])
async def test_what_is_not_there_is_one_line_of_text(path: str, whole: Whole) -> None:
    answer = await whole.ask(f"GET {path}")
    assert answer.status == 404
    assert answer.text.count("\n") == 1


async def test_a_wrong_method_names_the_right_ones(whole: Whole) -> None:
    answer = await whole.ask("DELETE /metrics")
    assert answer.status == 405
    assert "GET" in answer.headers["allow"]
