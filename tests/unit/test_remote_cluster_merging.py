"""Answers of several nodes as one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wherry.remote.cluster.merging import (
    MISSING,
    Failure,
    Reply,
    best,
    lists,
    nobody_has_it,
    one,
    rows,
    told,
)

A, B, C = "http://a:1", "http://b:1", "http://c:1"


def reply(host: str, fields: Any, *, status: int = 200, missing: bool = False) -> Reply:
    headers = {MISSING: "1"} if missing else {}
    return Reply(host=host, status=status, headers=headers, body=json.dumps(fields).encode())


def missing(host: str) -> Reply:
    error = "No such container: web"
    return reply(host, {"code": 500, "error": error}, status=500, missing=True)


def test_rows_of_all_nodes_are_one_list_and_each_says_its_host() -> None:
    merged = json.loads(
        rows([reply(A, [{"names": "x"}]), reply(B, []), reply(C, [{"names": "y"}])])
    )
    assert merged == [{"names": "x", "host": A}, {"names": "y", "host": C}]


def test_in_a_strict_list_nodes_that_failed_are_rows_too() -> None:
    merged = json.loads(rows([reply(A, [])], [Failure(host=B, reason="no sign of it in time")]))
    assert merged == [{"host": B, "error": "no sign of it in time"}]


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[{]", b'[{"a":1}', b"<html>", b'"x"'])
def test_an_answer_that_is_no_list_is_told_from_one_that_is(body: bytes) -> None:
    assert not lists(Reply(host=A, status=200, body=body))
    assert lists(Reply(host=A, status=200, body=b'[{"a": {"b": [1]}}]'))


def test_the_node_that_has_the_container_answers_for_all() -> None:
    found = reply(B, {"command": "docker logs web", "raw": ""})
    assert best([missing(A), found, missing(C)], method="GET") is found


def test_a_failure_of_the_node_that_has_it_counts_more_than_that_others_have_not() -> None:
    failed = reply(B, {"code": 500, "error": "exit 3"}, status=500)
    assert best([missing(A), failed, missing(C)], method="POST") is failed


def test_a_removal_of_nothing_counts_less_than_a_failure_and_that_less_than_a_removal() -> None:
    nothing = reply(A, {"command": "docker rm -f web", "raw": ""})
    failed = reply(B, {"code": 500, "error": "device is busy"}, status=500)
    removed = reply(C, {"command": "docker rm -f web", "raw": "web\n"})
    assert best([nothing, failed], method="DELETE") is failed
    assert best([nothing, failed, removed], method="DELETE") is removed
    assert best([nothing, missing(B)], method="DELETE") is nothing


def test_between_equals_this_node_answers() -> None:
    replies = [reply(A, {"raw": "a"}), reply(B, {"raw": "b"})]
    assert best(replies, method="POST") is replies[0]


def test_it_is_known_when_nobody_has_it() -> None:
    assert nobody_has_it(missing(A), method="GET")
    assert nobody_has_it(reply(A, {"raw": ""}), method="DELETE")
    assert not nobody_has_it(reply(A, {"raw": ""}), method="GET")
    assert not nobody_has_it(reply(A, {"error": "x"}, status=500), method="GET")


def test_an_object_keeps_its_shape_and_says_its_host_and_how_every_node_answered() -> None:
    found = reply(B, {"command": "docker logs web", "raw": "hello\n"})
    failures = [Failure(host=C, reason="no connection")]
    assert json.loads(one(found, [missing(A), found], failures=failures)) == {
        "command": "docker logs web",
        "raw": "hello\n",
        "host": B,
        "nodes": [
            {"error": "No such container: web", "host": A, "code": 500},
            {"host": B, "code": 200},
            {"host": C, "error": "no connection"},
        ],
    }


def test_what_a_second_node_did_is_told_in_full() -> None:
    replies = [reply(A, {"raw": "a"}), reply(B, {"raw": "b"})]
    assert json.loads(one(replies[0], replies)) == {
        "raw": "a",
        "host": A,
        "nodes": [{"host": A, "code": 200}, {"host": B, "code": 200, "raw": "b"}],
    }


def test_a_node_that_sends_something_else_is_quoted_and_breaks_nothing() -> None:
    odd = Reply(host=B, status=502, body=b"<html>Bad Gateway\xff")
    merged = json.loads(one(odd, [odd]))
    assert merged["raw"].startswith("<html>")
    assert merged["host"] == B


def test_headers_name_the_nodes_that_are_missing() -> None:
    failures = [Failure(host=A, reason="no connection"), Failure(host=B, reason="it left")]
    assert told(failures, answered=3) == {
        "docker-server-nodes": "3",
        "docker-server-failed": "http://a:1 (no connection), http://b:1 (it left)",
    }
    assert told([], answered=1) == {"docker-server-nodes": "1"}
