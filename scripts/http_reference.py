"""Write docs/reference/http.md from the table that routes and OpenAPI are made of.

python scripts/http_reference.py           write it
python scripts/http_reference.py --check   exit 1 when it is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import msgspec

from wherry.triggers.http import openapi
from wherry.triggers.http.auth import FAILED_LOGINS
from wherry.triggers.http.bodies import READ_WITHIN
from wherry.triggers.http.parts import GatewayOptions
from wherry.units import format_size

if TYPE_CHECKING:
    from wherry.triggers.http.operations import Operation

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "http.md"

TEXT = """\
# HTTP

Written by `scripts/http_reference.py` from the table that the gateway's routes and its OpenAPI
document are made of. `GET /openapi.json` has every field of every document; schemathesis asks a
real server all that it says, and finds nothing else (`tests/integration/test_openapi.py`).

The interface is that of OpenFaaS's gateway, and its tools work with it. What is ours besides is
`command` and `pipe` of a deployment, the labels below `wherry.`
([functions](functions.md)), bearer tokens, and `/system/calls`.

## Who may

| Login | May |
| --- | --- |
| basic auth, `admin` and its password | everything |
| `Authorization: Bearer TOKEN` | what the token's scopes say ([tokens](../how-to/tokens.md)) |
| a token as the password of basic auth | the same, for programs that know no other |

Everything needs a login but calls of functions and `/healthz`. A function with the label
`wherry.auth`, and every function of `wherry serve --auth-calls`, needs `invoke:FUNCTION`.

| Status | Means |
| --- | --- |
| 401 | nobody is logged in; with `WWW-Authenticate: Basic realm="Restricted"` |
| 403 | the scope is missing, and is named; or a web page of another site asks |
| 421 | without auth: the `Host` header is no name of this machine |
| 429 | too often; `Retry-After` says when again. Failed logins: {logins} for each address |

## Errors

The body of an answer that is no success is one line of plain text, which names the field, the
value and what would be right. Those of `/system/calls` are JSON, `{{"error": …}}`. A method that a
path does not have is a 405 with `Allow`. A document larger than {document} is a 413 (secrets:
twice that), one that takes longer than {within} s to arrive a 408.

What the tables below do not repeat: an operation with a query or a body may answer 400, one with
a body 408 and 413, and one with a scope 401, 403 and 429.

`usage` is there for clients that ask for it (`usage=1`), and takes a fifth of a second: `cpu` in
thousandths of a core over that time, `totalMemoryBytes` without files that are only cached, of all
containers that run or are ready. The local engine reads control groups, and where it can make
none, the processes; a Docker engine is asked. The memory engine, and a pipe, whose stages are
functions themselves, have 0.

`replicas` are a function's containers by intent, those kept ready and those that run, and
`availableReplicas` those that are there now. After a deploy they are more than 0 as soon as the
function can be called: one whose containers are made by its calls alone (a pipe, a server that
starts with its first request, an engine that keeps nothing ready) counts as what was asked for.
A function that was scaled to none, asks for none (`wherry.ready` of `created:0`), or was not
called for long has 0, and can be called as well. One whose image cannot be had stays at 0.

A query parameter that is empty counts as absent, and one that comes twice is refused. Fields of
a document that are not known are ignored, as OpenFaaS does; so are unknown query parameters.

## Calls

| Outcome | Status |
| --- | --- |
| exit code 0 | 200, stdout |
| any other exit code | 500 and `X-Exit-Code`, with what was written so far |
| killed for memory | 500 and `X-Exit-Reason: oom` |
| a timeout | 504, which says whose |
| no such image, or it cannot start | 502, and why |
| as many calls of the function as may | 429 |
| no room in time | 503 and `Retry-After` |
| a body larger than the function's limit | 413 |

An answer of up to 64 KiB always has the true status. A longer one, and one that is asked for with
`Accept: text/event-stream` or `application/x-ndjson`, goes out while it is written; when such a
call fails, its connection is cut, so that nobody takes it for complete.

| Header | Of | Means |
| --- | --- | --- |
| `X-Call-Id` | both | id of the call; the caller's own is kept |
| `X-Timeout` | request | `2s`, `1m30s` or seconds; can only shorten |
| `X-Stderr: 1` | request | a failure's answer ends in the tail of stderr |
| `X-Callback-Url` | async request | where the result is posted to |
| `X-Start-Time` | answer | Unix nanoseconds |
| `X-Duration-Seconds` | answer | how long it took |
"""

HEADINGS = {"function": "Functions", "async-function": "Queued calls", "system": "The system",
            "healthz": "Health", "metrics": "Numbers", "openapi": "The document"}  # fmt: skip


def page() -> str:
    parts = MagicMock(options=GatewayOptions())
    logins = f"{FAILED_LOGINS.requests} in {FAILED_LOGINS.seconds:g} s"
    limit = format_size(parts.options.max_document)
    text = TEXT.format(logins=logins, document=limit, within=f"{READ_WITHIN:g}")
    sections: dict[str, list[Operation]] = {}
    for operation in openapi.described(parts):
        sections.setdefault(operation.path.split("/")[1].partition(".")[0], []).append(operation)
    for tag in sorted(sections, key=list(HEADINGS).index):
        text += f"\n## {HEADINGS[tag]}\n"
        text += "".join(map(described, _merged(sections[tag])))
    return text


def _merged(operations: list[Operation]) -> list[tuple[str, Operation]]:
    """Return operations with their methods; those that differ in nothing else stand as one."""
    found: list[tuple[str, Operation]] = []
    for operation in operations:
        if (
            found
            and found[-1][1].path == operation.path
            and (found[-1][1].summary == operation.summary)
        ):
            found[-1] = (f"{found[-1][0]}, {operation.method}", found[-1][1])
        else:
            found.append((operation.method, operation))
    return found


def described(entry: tuple[str, Operation]) -> str:
    method, operation = entry
    lines = [f"\n### {method} {operation.path}\n", f"{operation.summary}. {operation.text}".strip()]
    facts = []
    if operation.needs is not None:
        facts.append(f"Scope: `{operation.needs}`")
    if operation.query is not None:
        names = ", ".join(f"`{field.encode_name}`" for field in fields(operation.query))
        facts.append(f"Query: {names}")
    if operation.body is not None:
        names = ", ".join(
            f"`{field.encode_name}`{' (required)' if field.required else ''}"
            for field in fields(operation.body)
        )
        facts.append(f"Body: {names}")
    lines += ["", *(f"- {fact}" for fact in facts)] if facts else []
    lines += ["", "| Status | Means |", "| --- | --- |"]
    lines += [f"| {status} | {reply.text} |" for status, reply in sorted(operation.replies.items())]
    return "\n".join(lines) + "\n"


def fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(kind)


def main() -> int:
    text = page()
    if "--check" in sys.argv[1:]:
        return int(not PAGE.exists() or PAGE.read_text() != text)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
