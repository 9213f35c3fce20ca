"""The `/system` routes: statuses, shapes and words, as OpenFaaS's clients expect them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from tests.support.system_app import System, system

from wherry.triggers.http.bodies import flowing, read_body
from wherry.triggers.http.errors import Refused

UPPER: dict[str, Any] = {"service": "upper", "image": "busybox", "envProcess": "tr a-z A-Z"}
LOUD = {"service": "loud", "image": "busybox", "command": ["sh", "-c", "cat >&2; echo done"]}


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[System]:
    async with system(tmp_path) as found:
        yield found


async def test_a_function_is_there_right_after_its_deploy_and_echoes_what_was_given(
    opened: System,
) -> None:
    await opened.ask("POST /system/secrets", {"name": "key", "value": "x"})
    given = {
        "service": "full",
        "image": "busybox:1",
        "namespace": "openfaas-fn",
        "envProcess": "tr a-z A-Z",
        "envVars": {"A": "1", "exec_timeout": "2s"},
        "constraints": ["node=a"],
        "secrets": ["key"],
        "labels": {"wherry.concurrency": "3", "team": "x"},
        "annotations": {"topic": "y"},
        "limits": {"memory": "128Mi", "cpu": "250m"},
        "requests": {"memory": "64Mi"},
        "readOnlyRootFilesystem": True,
    }
    assert (await opened.ask("POST /system/functions", given)).status == 202
    answer = await opened.ask("GET /system/function/full")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    shown = answer.json
    echoed = {**given, "name": given["service"]}
    del echoed["service"]
    assert {name: shown[name] for name in echoed} == echoed
    rest = set(shown) - set(echoed)
    assert rest == {"invocationCount", "replicas", "availableReplicas", "createdAt"}
    assert datetime.fromisoformat(shown["createdAt"]).tzinfo is not None
    listed = await opened.ask("GET /system/functions")
    assert listed.json == [shown]


async def test_what_was_not_given_is_absent_and_labels_are_always_there(opened: System) -> None:
    await opened.ask("POST /system/functions", {**UPPER, "labels": None, "annotations": None})
    shown = (await opened.ask("GET /system/function/upper")).json
    assert shown["labels"] == {}
    assert shown["annotations"] == {}
    assert not {"envVars", "secrets", "limits", "requests", "constraints", "usage",
                "readOnlyRootFilesystem", "command", "pipe"} & set(shown)  # fmt: skip
    assert "usage" in (await opened.ask("GET /system/function/upper?usage=1")).json


async def test_calls_are_counted(opened: System) -> None:
    await opened.ask("POST /system/functions", UPPER)
    for _ in range(3):
        assert (await opened.ask("POST /function/upper", b"x")).body == b"X"
    assert (await opened.ask("GET /system/function/upper")).json["invocationCount"] == 3


@pytest.mark.parametrize(
    "path", ["/system/function/upper", "/system/function/upper.openfaas-fn",
             "/system/function/upper?namespace=openfaas-fn",
             "/system/function/upper.openfaas-fn?namespace=openfaas-fn"],
)  # fmt: skip
async def test_a_function_is_found_by_each_of_its_spellings(opened: System, path: str) -> None:
    await opened.ask("POST /system/functions", UPPER)
    assert (await opened.ask(f"GET {path}")).json["name"] == "upper"


async def test_put_replaces_what_is_there_and_nothing_else(opened: System) -> None:
    assert (await opened.ask("PUT /system/functions", UPPER)).status == 404
    await opened.ask("POST /system/functions", UPPER)
    created = (await opened.ask("GET /system/function/upper")).json["createdAt"]
    assert (await opened.ask("PUT /system/functions", {**UPPER, "image": "b:2"})).status == 202
    shown = (await opened.ask("GET /system/function/upper")).json
    assert (shown["image"], shown["createdAt"]) == ("b:2", created)
    unknown = await opened.ask("PUT /system/functions", {**UPPER, "secrets": ["none"]})
    assert unknown.status == 400


async def test_delete_takes_the_namespace_from_the_body_or_the_query(opened: System) -> None:
    await opened.ask("POST /system/namespace/", {"name": "dev", "labels": {"openfaas": "1"}})
    for body, query in (
        ({"functionName": "upper", "namespace": "dev"}, ""),
        ({"functionName": "upper"}, "?namespace=dev"),
        ({"functionName": "upper.dev"}, ""),
    ):
        await opened.ask("POST /system/functions", {**UPPER, "namespace": "dev"})
        await opened.ask("POST /system/functions", UPPER)
        assert (await opened.ask(f"DELETE /system/functions{query}", body)).status == 202
        assert (await opened.ask("GET /system/function/upper.dev")).status == 404
        assert (await opened.ask("GET /system/function/upper")).status == 200
        assert (await opened.ask(f"DELETE /system/functions{query}", body)).status == 404


async def available(opened: System, name: str) -> dict[str, Any]:
    """Ask as a client that waits for a function, until it can be called."""
    async with asyncio.timeout(10):
        while not (shown := (await opened.ask(f"GET /system/function/{name}")).json)[
            "availableReplicas"
        ]:
            await asyncio.sleep(0)
    return dict(shown)


async def test_who_waits_for_a_function_sees_that_it_can_be_called(opened: System) -> None:
    server = {**UPPER, "service": "web", "labels": {"wherry.mode": "http"}}
    twice = {"service": "twice", "pipe": ["upper", "upper"]}
    for name, document in (("upper", UPPER), ("twice", twice)):
        await opened.ask("POST /system/functions", document)
        shown = await available(opened, name)
        assert (shown["replicas"], shown["availableReplicas"]) == (1, 1)
    await opened.ask("POST /system/functions", {**UPPER, "service": "no", "image": "nowhere"})
    await opened.ask("POST /system/functions", server)  # nothing here keeps servers
    await opened.ask("POST /system/scale-function/upper", {"replicas": 0})
    for name, replicas in (("no", 1), ("web", 1), ("upper", 0)):
        for _ in range(20):
            await asyncio.sleep(0)
        shown = (await opened.ask(f"GET /system/function/{name}")).json
        assert (shown["replicas"], shown["availableReplicas"]) == (replicas, 0), name


async def test_a_scaling_is_shown_by_the_next_look_and_zero_is_allowed(opened: System) -> None:
    await opened.ask("POST /system/functions", UPPER)
    for replicas in (4, 0, 1):
        body = {"serviceName": "upper", "replicas": replicas}
        assert (await opened.ask("POST /system/scale-function/upper", body)).status == 202
        shown = (await opened.ask("GET /system/function/upper")).json
        assert shown["replicas"] == replicas
    await opened.ask("POST /system/scale-function/upper", {"replicas": 0})
    assert (await opened.ask("POST /function/upper", b"x")).body == b"X"


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"replicas": -1}, 400, "replicas: expected a whole number >= 0"),
        ({"replicas": "2"}, 400, "replicas: expected a whole number, got text"),
        ({"replicas": 1.5}, 400, "replicas"),
        ({"replicas": 1000}, 400, "from 0 to 20"),
        ({"serviceName": "upper"}, 400, "replicas: it is missing"),
        ({"serviceName": "other", "replicas": 1}, 400, "serviceName: 'other' is not 'upper'"),
        ({"replicas": 1, "namespace": "dev"}, 404, "'dev'"),
    ],
)
async def test_what_cannot_be_scaled_says_why(
    opened: System, body: Any, status: int, words: str
) -> None:
    await opened.ask("POST /system/functions", UPPER)
    answer = await opened.ask("POST /system/scale-function/upper", body)
    assert answer.status == status
    assert words in answer.text


async def test_values_of_secrets_go_in_and_never_come_out(opened: System, tmp_path: Path) -> None:
    ask = opened.ask
    raw = base64.b64encode(b"\0\xffhidden").decode()
    assert (await ask("POST /system/secrets", {"name": "a", "value": "hidden"})).status == 201
    assert (await ask("POST /system/secrets", {"name": "b", "rawValue": raw})).status == 201
    listed = await ask("GET /system/secrets")
    assert listed.json == [{"name": n, "namespace": "openfaas-fn"} for n in ("a", "b")]
    store = opened.parts.functions.secrets
    assert store.path("b").read_bytes() == b"\0\xffhidden"
    again = await ask("POST /system/secrets", {"name": "a", "value": "hidden"})
    assert again.status == 409
    assert (await ask("PUT /system/secrets", {"name": "a", "value": "new"})).status == 200
    assert store.path("a").read_bytes() == b"new"
    assert (await ask("PUT /system/secrets", {"name": "c", "value": "hidden"})).status == 404
    assert (await ask("DELETE /system/secrets", {"name": "a"})).status == 202
    assert (await ask("DELETE /system/secrets", {"name": "a"})).status == 404
    for wrong in (
        {"name": "d"}, {"name": "d", "value": "hidden", "rawValue": raw},
        {"name": "d", "rawValue": "hidden!"}, {"name": "d", "value": ["hidden"]},
        {"name": "../d", "value": "hidden"},
    ):  # fmt: skip
        answer = await ask("POST /system/secrets", wrong)
        assert answer.status == 400
        assert "hidden" not in answer.text


async def test_namespaces_are_rooms_of_their_own(opened: System) -> None:
    ask = opened.ask
    dev = {"name": "dev", "labels": {"openfaas": "1"}, "annotations": {"a": "b"}}
    assert (await ask("POST /system/namespace/", dev)).status == 201
    assert (await ask("POST /system/namespace/", dev)).status == 409
    assert sorted((await ask("GET /system/namespaces")).json) == ["dev", "openfaas-fn"]
    assert (await ask("GET /system/namespace/dev")).json == dev
    changed = {**dev, "labels": {"openfaas": "1", "x": "y"}}
    assert (await ask("PUT /system/namespace/dev", changed)).status == 202
    assert (await ask("GET /system/namespace/dev")).json == changed
    assert (await ask("PUT /system/namespace/dev", {**dev, "name": "other"})).status == 400
    assert (await ask("PUT /system/namespace/none", {**dev, "name": "none"})).status == 404
    await ask("POST /system/functions", {**UPPER, "namespace": "dev"})
    assert (await ask("GET /system/functions")).json == []
    assert len((await ask("GET /system/functions?namespace=dev")).json) == 1
    assert (await ask("GET /system/functions?namespace=none")).status == 400
    assert (await ask("DELETE /system/namespace/dev")).status == 409
    await ask("DELETE /system/functions", {"functionName": "upper", "namespace": "dev"})
    assert (await ask("DELETE /system/namespace/dev", {"name": "dev"})).status == 202
    assert (await ask("GET /system/namespace/dev")).status == 404


async def test_logs_are_a_document_per_line(opened: System) -> None:
    await opened.ask("POST /system/functions", LOUD)
    for text in (b"one\n", b"two\nthree"):
        await opened.ask("POST /function/loud", text, headers={"X-Call-Id": text[:3].decode()})
    answer = await opened.ask("GET /system/logs?name=loud")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["text"] for line in lines] == ["one", "two", "three"]
    assert {line["name"] for line in lines} == {"loud"}
    assert {line["namespace"] for line in lines} == {"openfaas-fn"}
    assert [line["instance"] for line in lines] == ["one", "two", "two"]
    assert all(datetime.fromisoformat(line["timestamp"]).tzinfo for line in lines)
    for query, texts in (
        ("tail=1", ["three"]),
        ("tail=-1", ["one", "two", "three"]),
        ("tail=0&follow=false&since=&instance=", ["one", "two", "three"]),
        ("instance=one", ["one"]),
        ("since=2001-01-01T00:00:00Z", ["one", "two", "three"]),
        ("since=2999-01-01T00:00:00%2B02:00", []),
        ("namespace=openfaas-fn", ["one", "two", "three"]),
    ):
        found = await opened.ask(f"GET /system/logs?name=loud&{query}")
        assert [json.loads(line)["text"] for line in found.text.splitlines()] == texts, query


async def test_a_log_is_followed_line_by_line_until_its_reader_leaves(opened: System) -> None:
    await opened.ask("POST /system/functions", LOUD)
    await opened.ask("POST /function/loud", b"before\n")
    async with opened.ask.stream("GET /system/logs?name=loud&follow=1") as chunks:
        assert json.loads(await chunks.get())["text"] == "before"
        await opened.ask("POST /function/loud", b"after\nlast\n")
        assert json.loads(await chunks.get())["text"] == "after"
        assert json.loads(await chunks.get())["text"] == "last"
    assert not opened.logs._followers


async def test_followers_go_home_when_the_logs_end(opened: System) -> None:
    await opened.ask("POST /system/functions", LOUD)
    async with opened.ask.stream("GET /system/logs?name=loud&follow=1"):
        while not opened.logs._followers:
            await asyncio.sleep(0)
        await opened.logs.aclose()


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 422), ("?name=", 422), ("?name=none", 404), ("?name=../x", 422),
        ("?name=loud&tail=x", 422), ("?name=loud&follow=maybe", 422),
        ("?name=loud&since=yesterday", 422), ("?name=loud&since=2024-01-01T00:00:00", 422),
        ("?name=loud&tail=1&tail=2", 422), ("?name=loud&namespace=none", 404),
    ],
)  # fmt: skip
async def test_logs_that_cannot_be_had_say_why(opened: System, query: str, status: int) -> None:
    await opened.ask("POST /system/functions", LOUD)
    answer = await opened.ask(f"GET /system/logs{query}")
    assert answer.status == status
    assert answer.text.count("\n") == 1


async def test_health_and_info_say_what_they_are_asked(opened: System) -> None:
    health = await opened.ask("GET /healthz")
    assert (health.status, health.text) == (200, "OK\n")
    info = (await opened.ask("GET /system/info")).json
    assert set(info) == {"provider", "version", "arch"}
    assert set(info["provider"]) == {"provider", "orchestration", "version"}
    assert set(info["version"]) == set(info["provider"]["version"]) == {"sha", "release"}


async def test_the_document_names_every_path_and_its_references_lead_somewhere(
    opened: System,
) -> None:
    found = (await opened.ask("GET /openapi.json")).json
    assert found["openapi"].startswith("3.1")
    schemas = found["components"]["schemas"]
    references = set(_references(found))
    assert references
    assert references <= {f"#/components/schemas/{name}" for name in schemas}
    names = [op["operationId"] for path in found["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))
    assert {"/system/functions", "/system/logs", "/function/{name}", "/healthz"} <= set(
        found["paths"]
    )


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [found for each in value.values() for found in _references(each)]
    return (
        [found for each in value for found in _references(each)] if isinstance(value, list) else []
    )


async def test_a_document_that_never_ends_is_a_408() -> None:
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await never.wait()
        raise AssertionError

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(Refused, match=r"within 0\.01 s") as refused:
        await read_body(request, limit=10, within=0.01)
    assert refused.value.status == 408
    assert refused.value.headers == {"Connection": "close"}


async def test_a_body_that_is_stored_may_take_its_time_but_not_stand_still() -> None:
    coming = [b"a", b"b"]
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not coming:
            await never.wait()
        return {"type": "http.request", "body": coming.pop(0), "more_body": True}

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    came = flowing(request, within=0.01)
    assert [await anext(came), await anext(came)] == [b"a", b"b"]
    with pytest.raises(Refused, match=r"nothing of it came for 0\.01 s") as refused:
        await anext(came)
    assert refused.value.status == 408
