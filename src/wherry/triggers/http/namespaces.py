"""``/system/namespaces`` and ``/system/namespace/NAME``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.functions.namespaces import Namespace
from wherry.triggers.http.bodies import read_document
from wherry.triggers.http.errors import Refused, plain
from wherry.triggers.http.operations import Operation, Reply, encoded, routes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.functions.store import FunctionStore
    from wherry.triggers.http.parts import Parts

_ONE = "/system/namespace/{namespace}"


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    return routes_of(operations(parts))


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here."""
    namespaces = _Namespaces(parts)
    return [
        Operation(
            method="GET", path="/system/namespaces", name="listNamespaces",
            summary="List the namespaces", needs="read",
            replies={200: Reply(text="Their names; the default one is among them.",
                                kind=list[str])},
            work=namespaces.names,
        ),
        Operation(
            method="POST", path="/system/namespace/", name="createNamespace",
            summary="Make a namespace", needs="admin", body=Namespace,
            replies={201: Reply(text="It is there."), 409: Reply(text="There is one.")},
            work=namespaces.create,
        ),
        Operation(
            method="GET", path=_ONE, name="getNamespace", summary="Show a namespace",
            needs="read", replies={200: Reply(text="The namespace.", kind=Namespace),
                                   404: Reply(text="There is none.")},
            work=namespaces.show,
        ),
        Operation(
            method="PUT", path=_ONE, name="updateNamespace", needs="admin", body=Namespace,
            summary="Replace the labels and annotations of a namespace",
            replies={202: Reply(text="They are."), 404: Reply(text="There is none.")},
            work=namespaces.update,
        ),
        Operation(
            method="DELETE", path=_ONE, name="deleteNamespace", needs="admin",
            summary="Remove an empty namespace",
            replies={202: Reply(text="It is gone."), 404: Reply(text="There is none."),
                     409: Reply(text="It is not empty, or the default one.")},
            work=namespaces.remove,
        ),
    ]  # fmt: skip


class _Namespaces:
    def __init__(self, parts: Parts) -> None:
        self._functions: FunctionStore = parts.functions
        self._limit = parts.options.max_document

    async def names(self, _request: Request) -> Response:
        return encoded(self._functions.namespaces())

    async def create(self, request: Request) -> Response:
        namespace = await read_document(request, Namespace, limit=self._limit)
        await self._functions.create_namespace(namespace)
        return plain(201, f"namespace {namespace.name!r} is there")

    async def show(self, request: Request) -> Response:
        found = self._functions.namespace(_name(request))
        # OpenFaaS's clients read both without looking whether they are there.
        return encoded(
            {"name": found.name, "labels": found.labels or {},
             "annotations": found.annotations or {}}
        )  # fmt: skip

    async def update(self, request: Request) -> Response:
        namespace = await read_document(request, Namespace, limit=self._limit)
        name = _name(request)
        if namespace.name != name:
            raise Refused(400, f"name: {namespace.name!r} is not {name!r}, which the path names")
        await self._functions.update_namespace(namespace)
        return plain(202, f"namespace {name!r} is changed")

    async def remove(self, request: Request) -> Response:
        name = _name(request)
        self._functions.namespace(name)
        try:
            await self._functions.remove_namespace(name)
        except UsageError as error:  # it is there, and has to stay
            raise Refused(409, str(error)) from None
        return plain(202, f"namespace {name!r} is gone")


def _name(request: Request) -> str:
    return str(request.path_params["namespace"])
