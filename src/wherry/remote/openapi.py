"""``/openapi.json``: the interface as a document, which names DockerServer's part and ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry._version import __version__
from wherry.remote.answers import document

if TYPE_CHECKING:
    from wherry.remote.model import Answer, Caller

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean", "default": False}
_WORDS = {
    "oneOf": [_TEXT, {"type": "array", "items": _TEXT}],
    "description": "Text is split as a shell would; no shell ever runs it.",
}
_MAP = {"type": "object", "additionalProperties": _TEXT}
_RUN = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": _TEXT,
        "name": {**_TEXT, "description": "A random UUID where there is none."},
        "data": {**_WORDS, "description": "The command. Text is split as a shell would."},
        "remove": _FLAG,
        "detach": _FLAG,
        "ports": {**_MAP, "description": "Port of the host to port of the container."},
        "volumes": {
            **_MAP,
            "description": "Path of the host, or volume, to path in the container; only what the "
            "server allows (--mounts, --policy).",
        },
        "env": _MAP,
        "network": _TEXT,
        "user": _TEXT,
        "memory": {**_TEXT, "description": "Bytes, or 512m."},
        "cpus": {"type": "number", "exclusiveMinimum": 0},
        "entrypoint": _WORDS,
        "workdir": _TEXT,
        "labels": _MAP,
        "capabilities": {"type": "array", "items": _TEXT},
        "credentials": {
            "type": "object",
            "description": "For the registry: username and password, or a token.",
            "properties": dict.fromkeys(
                ("username", "password", "identitytoken", "registrytoken"), _TEXT
            ),
        },
        "timeout": {**_TEXT, "description": "Seconds, or 1m30s."},
    },
}
_EXEC = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": _WORDS,
        "tty": _FLAG,
        "interactive": _FLAG,
        "stdin": _TEXT,
        "env": _MAP,
        "user": _TEXT,
        "workdir": _TEXT,
        "timeout": _TEXT,
    },
}
_DONE_FIELDS = {
    "command": {**_TEXT, "description": "The docker command that does the same."},
    "raw": {**_TEXT, "description": "What it wrote to stdout."},
}
_DONE = {"type": "object", "required": ["command", "raw"], "properties": _DONE_FIELDS}
_RAN = {**_DONE, "properties": {**_DONE_FIELDS, "containerId": _TEXT}}
_ERROR = {
    "type": "object",
    "required": ["code", "error"],
    "properties": {
        "code": {"type": "integer"},
        "error": _TEXT,
        "exit_code": {"type": ["integer", "null"]},
        "stdout": _TEXT,
        "stderr": _TEXT,
    },
}
_ROWS = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": dict.fromkeys(
            ("container id", "image", "command", "created", "status", "ports", "names"), _TEXT
        ),
    },
}
_RUN_STATE = {
    "type": "object",
    "required": ["id", "state"],
    "properties": {
        "id": _TEXT,
        "state": {"enum": ["queued", "running", "ended"]},
        "position": {"type": "integer"},
        "status": {"type": "integer", "description": "What the answer's status would have been."},
        "answer": {},
    },
}
_ID = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
_STREAM = {
    "name": "stream",
    "in": "query",
    "schema": {"enum": ["0", "1"]},
    "description": "1: the answer is JSON by lines, as it comes, with the exit code at the end.",
}
_ALWAYS = {
    "401": {"description": "No token, or a wrong one."},
    "403": {"description": "The policy of this token does not allow it."},
    "429": {"description": "Too many requests, wrong tokens, or containers of this token."},
    "500": {"description": "The engine or the program failed; with --strict, other statuses."},
}


def document_of_api() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wherry remote",
            "version": __version__,
            "summary": "Containers at a distance",
            "description": "DockerServer's interface, and additions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {"bearer": []}],
        "paths": _paths(),
        "components": {
            "schemas": {
                "Run": _RUN, "Exec": _EXEC, "Done": _DONE, "Ran": _RAN, "Error": _ERROR,
                "Rows": _ROWS, "RunState": _RUN_STATE,
            },
            "securitySchemes": {
                "token": {
                    "type": "apiKey", "in": "header", "name": "Authorization",
                    "description": "`Basic ` and the base64 of the token alone.",
                },
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }  # fmt: skip


async def page(caller: Caller | None) -> Answer:
    """Answer ``/openapi.json``."""
    del caller
    return document(document_of_api())


def _paths() -> dict[str, Any]:
    return {
        "/": {
            "get": _operation("list", "List all containers", _answer("Rows")),
            "head": _operation("probe", "As GET, without a body", {"200": _plain("It would do.")}),
            "put": _operation(
                "run", "Run a container", _answer("Ran") | {
                    "202": {**_json("RunState"), "description": "With `Prefer: respond-async`."},
                    "503": _plain("The queue is full; Retry-After says when to come again."),
                },
                body="Run", parameters=[_STREAM],
            ),
        },
        "/{id}": {
            "parameters": [_ID],
            "get": _operation(
                "logs", "Read a container's logs; with ?inspect, what the engine knows of it",
                _answer("Done"),
                parameters=[
                    _STREAM,
                    {"name": "follow", "in": "query", "schema": {"enum": ["0", "1"]}},
                    {"name": "tail", "in": "query", "schema": _TEXT},
                    {"name": "inspect", "in": "query", "schema": _TEXT},
                ],
            ),
            "head": _operation(
                "pull", "Pull an image, whose name may have slashes", {"200": _plain("It is here.")}
            ),
            "post": _operation(
                "exec", "Run a command in a running container", _answer("Done"),
                body="Exec", parameters=[_STREAM],
            ),
            "delete": _operation("remove", "Kill and remove a container", _answer("Done")),
        },
        "/wherry/v1/runs/{id}": {
            "parameters": [_ID],
            "get": _operation("state", "Ask for a run that nobody waits for", _answer("RunState")),
            "delete": _operation("end", "End such a run", _answer("RunState")),
        },
        "/healthz": {
            "get": _operation("health", "Whether the engine answers", {
                "200": _plain("It does."), "503": _plain("It does not."),
            }) | {"security": []},
        },
        "/metrics": {
            "get": _operation("metrics", "Numbers for Prometheus", {"200": _plain("Its text.")}),
        },
        "/openapi.json": {
            "get": _operation("openapi", "This document", {"200": _plain("OpenAPI 3.1.")})
            | {"security": []},
        },
    }  # fmt: skip


def _operation(
    name: str,
    summary: str,
    replies: dict[str, Any],
    *,
    body: str | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "responses": {**replies, **dict(_ALWAYS.items())},
    }
    if parameters:
        described["parameters"] = parameters
    if body is not None:
        schema = {"schema": {"$ref": f"#/components/schemas/{body}"}}
        kinds = ("application/json", "application/x-www-form-urlencoded")
        described["requestBody"] = {"required": True, "content": dict.fromkeys(kinds, schema)}
        described["responses"]["400"] = {"description": "What the body says cannot be."}
        described["responses"]["413"] = {"description": "The body is too large."}
    return described


def _answer(schema: str) -> dict[str, Any]:
    return {"200": {**_json(schema), "description": "Done."}}


def _json(schema: str) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}


def _plain(text: str) -> dict[str, str]:
    return {"description": text}
