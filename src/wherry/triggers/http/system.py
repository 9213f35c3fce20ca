"""``/system/functions``, ``/system/function/NAME`` and ``/system/scale-function/NAME``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from wherry.errors import NotFound, UsageError
from wherry.functions.model import DEFAULT_NAMESPACE, Deployment
from wherry.functions.names import place_of
from wherry.triggers.http.bodies import read_document, read_query
from wherry.triggers.http.documents import (
    DeleteFunction,
    FunctionQuery,
    FunctionStatus,
    InNamespace,
    ScaleFunction,
    Usage,
)
from wherry.triggers.http.errors import Refused, plain
from wherry.triggers.http.operations import Operation, Reply, encoded, routes_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from wherry.functions.model import Deployed
    from wherry.functions.store import FunctionStore
    from wherry.triggers.http.parts import Parts

_ALL = "/system/functions"
_NONE = Reply(text="There is no such function.")
_OF_A_FILE = Reply(text="A file declares it, and it is changed there.")


def routes(parts: Parts) -> list[Route]:
    """Return the routes of what is served here."""
    return routes_of(operations(parts))


def operations(parts: Parts) -> list[Operation]:
    """Return what is served here."""
    functions = _Functions(parts)
    return [
        Operation(
            method="GET", path=_ALL, name="listFunctions", needs="read", query=InNamespace,
            summary="List the functions of a namespace",
            replies={200: Reply(text="The functions.", kind=list[FunctionStatus]),
                     400: Reply(text="There is no such namespace.")},
            work=functions.list,
        ),
        Operation(
            method="POST", path=_ALL, name="deployFunction", needs="deploy", body=Deployment,
            summary="Deploy a function, or replace it",
            replies={202: Reply(text="It is deployed, and can be called."), 409: _OF_A_FILE},
            work=functions.deploy,
        ),
        Operation(
            method="PUT", path=_ALL, name="updateFunction", needs="deploy", body=Deployment,
            summary="Replace a function",
            replies={202: Reply(text="It is replaced."), 404: _NONE, 409: _OF_A_FILE},
            work=functions.update,
        ),
        Operation(
            method="DELETE", path=_ALL, name="deleteFunction", needs="deploy",
            body=DeleteFunction, query=InNamespace, summary="Remove a function",
            replies={202: Reply(text="It is gone."), 404: _NONE, 409: _OF_A_FILE},
            work=functions.remove,
        ),
        Operation(
            method="GET", path="/system/function/{name}", name="getFunction", needs="read",
            query=FunctionQuery, summary="Show a function",
            replies={200: Reply(text="The function.", kind=FunctionStatus), 404: _NONE},
            work=functions.show,
        ),
        Operation(
            method="POST", path="/system/scale-function/{name}", name="scaleFunction",
            needs="deploy", body=ScaleFunction, query=InNamespace,
            summary="Say how many containers of a function are to be ready; 0 is allowed",
            replies={202: Reply(text="The next look at it shows it."), 404: _NONE},
            work=functions.scale,
        ),
    ]  # fmt: skip


class _Functions:
    def __init__(self, parts: Parts) -> None:
        self._functions: FunctionStore = parts.functions
        self._service = parts.service
        self._limit = parts.options.max_document

    async def list(self, request: Request) -> Response:
        query = read_query(request.query_params, InNamespace)
        namespace = query.namespace or DEFAULT_NAMESPACE
        try:
            self._functions.namespace(namespace)
        except NotFound as error:
            raise Refused(400, str(error)) from None
        return encoded([self._status(found) for found in self._functions.list(namespace)])

    async def deploy(self, request: Request) -> Response:
        deployment = await read_document(request, Deployment, limit=self._limit)
        try:
            deployed = await self._functions.deploy(deployment)
        except NotFound as error:  # a secret, a namespace, a stage of a pipe
            raise Refused(400, str(error)) from None
        return plain(202, f"function {deployed.qualified!r} is deployed")

    async def update(self, request: Request) -> Response:
        deployment = await read_document(request, Deployment, limit=self._limit)
        deployed = await self._functions.update(deployment)
        return plain(202, f"function {deployed.qualified!r} is replaced")

    async def remove(self, request: Request) -> Response:
        asked = await read_document(request, DeleteFunction, limit=self._limit)
        query = read_query(request.query_params, InNamespace)
        within = asked.namespace or query.namespace
        name, namespace = place_of(asked.function_name, namespace=within)
        await self._functions.remove(name, namespace=namespace)
        return plain(202, f"function '{name}.{namespace}' is gone")

    async def show(self, request: Request) -> Response:
        query = read_query(request.query_params, FunctionQuery)
        deployed = self._named(request, namespace=query.namespace)
        usage = await self._usage(deployed) if query.usage else msgspec.UNSET
        return encoded(self._status(deployed, usage=usage))

    async def scale(self, request: Request) -> Response:
        asked = await read_document(request, ScaleFunction, limit=self._limit)
        query = read_query(request.query_params, InNamespace)
        within = asked.namespace or query.namespace
        deployed = self._named(request, namespace=within)
        if asked.service_name and place_of(
            asked.service_name, namespace=within or deployed.namespace
        ) != (deployed.name, deployed.namespace):
            raise Refused(
                400, f"serviceName: {asked.service_name!r} is not {deployed.name!r}, as the path is"
            )
        await self._functions.scale(
            deployed.name, namespace=deployed.namespace, replicas=asked.replicas
        )
        return plain(202, f"function {deployed.qualified!r} is scaled to {asked.replicas}")

    def _named(self, request: Request, *, namespace: str) -> Deployed:
        text = str(request.path_params["name"])
        try:
            name, within = place_of(text, namespace=namespace)
        except UsageError as error:  # what can be no name is nobody's name
            raise Refused(404, str(error)) from None
        return self._functions.get(name, namespace=within)

    async def _usage(self, deployed: Deployed) -> Usage:
        used = await self._service.usage(deployed)
        return Usage(cpu=round(used.cores * 1000, 3), total_memory_bytes=used.memory)

    def _status(
        self, deployed: Deployed, *, usage: Usage | msgspec.UnsetType = msgspec.UNSET
    ) -> FunctionStatus:
        given: dict[str, Any] = {
            field: value
            for field in _ECHOED
            if (value := getattr(deployed.deployment, field)) not in _ABSENT
        }
        return FunctionStatus(
            name=deployed.name,
            namespace=deployed.namespace,
            image=deployed.deployment.image,
            labels=deployed.deployment.labels or {},
            annotations=deployed.deployment.annotations or {},
            invocation_count=self._functions.invocations(deployed.qualified),
            replicas=self._service.replicas(deployed),
            available_replicas=self._service.available(deployed),
            created_at=datetime.fromtimestamp(deployed.created, tz=UTC),
            usage=usage,
            **given,
        )


_ABSENT = (None, "", False)
_ECHOED = ("env_process", "env_vars", "constraints", "secrets", "limits", "requests",
           "read_only_root_filesystem", "command", "pipe")  # fmt: skip
