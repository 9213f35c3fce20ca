"""``/system/secrets``: values go in, and never come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UnsetType

from wherry.functions.model import DEFAULT_NAMESPACE
from wherry.triggers.http.bodies import read_document, read_query
from wherry.triggers.http.documents import InNamespace, NamedSecret, Secret
from wherry.triggers.http.errors import Refused, plain
from wherry.triggers.http.operations import Operation, Reply, encoded, routes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.functions.store import FunctionStore
    from wherry.triggers.http.parts import Parts

_PATH = "/system/secrets"
_BASE64 = 2
"""A value in base64, and the rest of the document, is less than so many times as large."""


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    return routes_of(operations(parts))


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here."""
    secrets = _Secrets(parts)
    no_secret = Reply(text="There is no such secret, or namespace.")
    return [
        Operation(
            method="GET", path=_PATH, name="listSecrets", summary="List secrets, by name alone",
            needs="read", query=InNamespace,
            replies={200: Reply(text="Their names.", kind=list[NamedSecret]),
                     404: Reply(text="There is no such namespace.")},
            work=secrets.names,
        ),
        Operation(
            method="POST", path=_PATH, name="createSecret", summary="Keep a new secret",
            needs="deploy", body=Secret,
            replies={201: Reply(text="It is kept."), 404: Reply(text="There is no such namespace."),
                     409: Reply(text="There is one of that name.")},
            work=secrets.create,
        ),
        Operation(
            method="PUT", path=_PATH, name="updateSecret", needs="deploy", body=Secret,
            summary="Give a secret a new value, for all calls from now on",
            replies={200: Reply(text="It has."), 404: no_secret}, work=secrets.replace,
        ),
        Operation(
            method="DELETE", path=_PATH, name="deleteSecret", summary="Remove a secret",
            needs="deploy", body=NamedSecret, query=InNamespace,
            replies={202: Reply(text="It is gone."), 404: no_secret}, work=secrets.remove,
        ),
    ]  # fmt: skip


class _Secrets:
    def __init__(self, parts: Parts) -> None:
        self._functions: FunctionStore = parts.functions
        self._limit = parts.options.max_document

    async def names(self, request: Request) -> Response:
        query = read_query(request.query_params, InNamespace)
        namespace = query.namespace or DEFAULT_NAMESPACE
        names = self._functions.secrets.names(namespace=namespace)
        return encoded([{"name": name, "namespace": namespace} for name in names])

    async def create(self, request: Request) -> Response:
        secret, value = await self._read(request)
        namespace = secret.namespace or DEFAULT_NAMESPACE
        await self._functions.secrets.create(secret.name, value, namespace=namespace)
        return plain(201, f"secret {secret.name!r} is kept")

    async def replace(self, request: Request) -> Response:
        secret, value = await self._read(request)
        namespace = secret.namespace or DEFAULT_NAMESPACE
        await self._functions.secrets.replace(secret.name, value, namespace=namespace)
        return plain(200, f"secret {secret.name!r} has a new value")

    async def remove(self, request: Request) -> Response:
        secret = await read_document(request, NamedSecret, limit=self._limit)
        query = read_query(request.query_params, InNamespace)
        namespace = secret.namespace or query.namespace or DEFAULT_NAMESPACE
        await self._functions.secrets.remove(secret.name, namespace=namespace)
        return plain(202, f"secret {secret.name!r} is gone")

    async def _read(self, request: Request) -> tuple[Secret, bytes]:
        secret = await read_document(request, Secret, limit=_BASE64 * self._limit)
        match (secret.value, secret.raw_value):
            case (str() as text, UnsetType()):
                return secret, text.encode()
            case (UnsetType(), bytes() as value):
                return secret, value
            case (UnsetType(), UnsetType()):
                raise Refused(400, "value: it is missing; give text, or rawValue in base64")
        raise Refused(400, "rawValue: give it or value, not both")
