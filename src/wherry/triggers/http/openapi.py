"""``/openapi.json``: the document of the interface, made of the table its routes are made of."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from wherry.triggers.http import (
    async_calls,
    dispatches,
    function_logs,
    health,
    namespaces,
    schedules,
    secrets,
    system,
)
from wherry.triggers.http.constraints import FIELDS, IN_PATH, WHOLE
from wherry.triggers.http.elsewhere import ELSEWHERE
from wherry.triggers.http.operations import JSON, TEXT, Operation, Reply, routes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from wherry.triggers.http.parts import Parts

_MODULES = (health, system, secrets, namespaces, function_logs, async_calls, schedules,
            dispatches)  # fmt: skip
_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(\w+)}")
_TAKEN = {
    400: "The request cannot be right; the line says which field, and what would be.",
    408: "The body did not arrive in time.",
    413: "The body is too large; the line says what is not.",
}
"""Answers of every operation with a body."""
_GUARDED = {
    401: "Nobody is logged in.",
    403: "Who is logged in lacks the scope, or a page of another site asks.",
    429: "Too many requests, or failed logins.",
}
"""Answers of every operation that needs a scope."""
_ALWAYS = {421: "The server is not known by this name (`Host`)."}
_HEADERS = {
    401: {"WWW-Authenticate": "Basic, in the realm Restricted"},
    429: {"Retry-After": "Seconds"},
}


def routes(parts: Parts) -> list[Route]:
    """Return the route of the document."""
    return routes_of([_itself(described(parts), version=parts.options.version)])


def described(parts: Parts) -> list[Operation]:
    """Return every operation that stands in the document, but for the one that serves it."""
    made = [operation for module in _MODULES for operation in module.operations(parts)]
    return [*made, *ELSEWHERE]


def _itself(others: Iterable[Operation], *, version: str) -> Operation:
    served = _Served()
    itself = Operation(
        method="GET", path="/openapi.json", name="openapi", needs="read",
        summary="This document", work=served.show,
        replies={200: Reply(text="OpenAPI 3.1.", kind=dict[str, Any])},
    )  # fmt: skip
    served.body = msgspec.json.encode(document([*others, itself], version=version))
    return itself


class _Served:
    body = b""

    async def show(self, _request: Request) -> Response:
        return Response(self.body, media_type=JSON)


def document(operations: Iterable[Operation], *, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of a table of operations."""
    table = list(operations)
    schemas = _Schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for operation in table:
        described = _operation(operation, schemas)
        paths.setdefault(operation.path, {})[operation.method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "wherry",
            "version": version,
            "summary": "Any container image, called as a function",
            "description": "The OpenFaaS gateway's interface, and additions.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


class _Schemas:
    """The schemas of all types in a table, each by its name."""

    def __init__(self, table: Iterable[Operation]) -> None:
        kinds: list[Any] = []
        for operation in table:
            kinds += [kind for kind in (operation.body, operation.query) if kind is not None]
            kinds += [reply.kind for reply in operation.replies.values() if reply.kind is not None]
        found, components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self.components = {name: _tidied(name, one) for name, one in components.items()}
        self._by_kind = list(zip(kinds, found, strict=True))

    def of(self, kind: Any) -> dict[str, Any]:  # noqa: ANN401 - any type
        """Return the schema of a type, or a reference to it."""
        return next(schema for known, schema in self._by_kind if known == kind)

    def fields(self, kind: type[msgspec.Struct]) -> dict[str, Any]:
        """Return field to schema of a type."""
        properties: dict[str, Any] = self.components[kind.__name__]["properties"]
        return properties

    def required(self, kind: type[msgspec.Struct]) -> list[str]:
        """Return the fields that must be there."""
        return list(self.components[kind.__name__].get("required", ()))


def _tidied(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Add what the types cannot say, as the checks of the store have it."""
    if "description" in schema:
        schema["description"] = inspect.cleandoc(schema["description"]).replace("``", "`")
    for field, exact in FIELDS.get(name, {}).items():
        schema["properties"][field] |= exact
    return schema | WHOLE.get(name, {})


def _operation(operation: Operation, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [operation.path.split("/")[1].partition(".")[0]],
        "responses": {str(status): _reply(status, reply, schemas)
                      for status, reply in sorted(replies_of(operation).items())},
    }  # fmt: skip
    if operation.text:
        described["description"] = operation.text
    if parameters := [*_in_path(operation), *_in_query(operation, schemas)]:
        described["parameters"] = parameters
    if operation.body is not None:
        content = {JSON: {"schema": schemas.of(operation.body)}}
        described["requestBody"] = {"required": True, "content": content}
    elif operation.raw:
        described["requestBody"] = {"content": {"application/octet-stream": {}}}
    if operation.needs is not None:
        described["security"] = [{"basic": []}, {"bearer": []}]
        described["x-scope"] = operation.needs
    return described


def replies_of(operation: Operation) -> dict[int, Reply]:
    """Return the answers of an operation, with those that all of its kind have."""
    common = dict(_ALWAYS)
    if operation.body is not None:
        common |= _TAKEN
    if operation.query is not None and 422 not in operation.replies:
        common[400] = _TAKEN[400]
    if operation.needs is not None:
        common |= _GUARDED
    return {status: Reply(text=text) for status, text in common.items()} | dict(operation.replies)


def _reply(status: int, reply: Reply, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": reply.text}
    if reply.kind is not None:
        media = reply.media or JSON
        # A document per line is no JSON value.
        described["content"] = {media: {"schema": schemas.of(reply.kind)} if media == JSON else {}}
    elif reply.media != "":
        described["content"] = {reply.media or TEXT: {"schema": {"type": "string"}}}
    headers = {**_HEADERS.get(status, {}), **reply.headers}
    if headers:
        described["headers"] = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in headers.items()
        }
    return described


def _in_path(operation: Operation) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": IN_PATH.get(name, {"type": "string"}),
        }
        for name in _PARAMETER.findall(operation.path)
    ]


def _in_query(operation: Operation, schemas: _Schemas) -> list[dict[str, Any]]:
    if operation.query is None:
        return []
    required = schemas.required(operation.query)
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in schemas.fields(operation.query).items()
    ]
