"""What the policy says of a request without asking any engine: for ``wherry proxy check``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.proxy.policy import (
    build,
    commits,
    containers,
    exec_,
    filters,
    images,
    networks,
    queries,
    routing,
    strict_json,
    table,
    volumes,
)  # fmt: skip
from wherry.proxy.policy.model import Denied, Kind, Named, Policy, TenantView
from wherry.proxy.policy.operations import Operation

if TYPE_CHECKING:
    from wherry.proxy.policy.routing import Route

_REQUEST = re.compile(r"([A-Z]+)[ \t]+(/\S*)(?:\s+(.*))?", re.DOTALL)
_LISTS = {
    Operation.CONTAINER_LIST: "container",
    Operation.IMAGE_LIST: "image",
    Operation.NETWORK_LIST: "network",
    Operation.VOLUME_LIST: "volume",
    Operation.EVENTS: "event",
}
_PRUNES = frozenset(
    {Operation.CONTAINER_PRUNE, Operation.IMAGE_PRUNE, Operation.NETWORK_PRUNE,
     Operation.VOLUME_PRUNE}
)  # fmt: skip
_BODIES = frozenset(
    {Operation.CONTAINER_CREATE, Operation.CONTAINER_UPDATE, Operation.EXEC_CREATE,
     Operation.EXEC_START, Operation.NETWORK_CREATE, Operation.NETWORK_CONNECT,
     Operation.NETWORK_DISCONNECT, Operation.VOLUME_CREATE, Operation.COMMIT}
)  # fmt: skip
_STREAMED = frozenset({Operation.BUILD, Operation.ARCHIVE_PUT, Operation.IMAGE_LOAD})
TAKES_BODY = _BODIES | _STREAMED
"""The operations whose requests have a body; those of all others must be empty."""
_IN_PATH = {
    "{container}": Kind.CONTAINER,
    "{network}": Kind.NETWORK,
    "{volume}": Kind.VOLUME,
    "{exec}": Kind.EXEC,
    "{image}": Kind.IMAGE,
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of one request."""

    request: str
    """Method and target."""
    allowed: bool
    rule: str
    message: str
    status: int = 200
    needs: tuple[Named, ...] = ()
    """What must be the tenant's own, or the answer is 404 after all."""

    @property
    def text(self) -> str:
        """One line for people."""
        if not self.allowed:
            return f"refused ({self.status}, {self.rule}): {self.message}"
        own = ", ".join(f"{named.kind.value} {named.text!r}" for named in self.needs)
        return f"allowed ({self.rule}): {self.message}" + (f"; must be yours: {own}" if own else "")


def explain(policy: Policy, requests: Iterable[str]) -> list[Explanation]:
    """Return the verdict on requests such as ``POST /v1.41/containers/create {"Image": "x"}``.

    Raises :class:`UsageError` for a text that is no request.
    """
    return [_explain(policy, text) for text in requests]


def decide(
    method: str, target: bytes, *, body: bytes = b"", tenant: TenantView
) -> tuple[Route, tuple[Named, ...]]:  # fmt: skip
    """Return the route of a request and what has to be looked up; raises :class:`Denied`.

    All that can be said without an engine: the endpoint, its verdict, the query, the body.
    """
    route = routing.route(method, target)
    table.check(route.operation, tenant.policy, method=method, name=route.name)
    queries.clean(route, tenant.policy.limits)
    if route.operation not in TAKES_BODY:
        no_body(body, operation=route.operation)
    return route, (*_own(route), *_references(route, body, tenant))


def no_body(body: bytes, *, operation: Operation) -> None:
    """Raise :class:`Denied` unless a body says nothing; such a one is never handed on (F3, F4).

    aiodocker sends ``{}`` where the engine expects none.
    """
    if body.strip() not in (b"", b"{}", b"null"):
        raise Denied(400, f"{operation.value}: has no body; send none", rule="G6")


def _explain(policy: Policy, text: str) -> Explanation:
    match = _REQUEST.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no request; write METHOD PATH, and a body behind it")
    method, target, body = match[1], match[2], (match[3] or "").encode()
    shown = f"{method} {target}"
    try:
        route, needs = decide(
            method, target.encode("utf-8", "replace"), body=body, tenant=TenantView("check", policy)
        )
    except Denied as denied:
        return Explanation(shown, False, denied.rule, denied.message, denied.status)
    row = table.TABLE[route.operation]
    return Explanation(shown, True, row.rule, f"{route.operation.value}: {row.why}", needs=needs)


def _own(route: Route) -> tuple[Named, ...]:
    for path in table.paths(route.operation):
        for slot, kind in _IN_PATH.items():
            if slot in path and route.name:
                return (Named(kind, route.name, "path"),)
    return ()


def _references(route: Route, body: bytes, tenant: TenantView) -> tuple[Named, ...]:  # noqa: C901
    policy, query = tenant.policy, route.query
    match route.operation:
        case Operation.CONTAINER_CREATE:
            queries.new_name(query)
            return containers.parse_create(body, policy).references
        case Operation.CONTAINER_RENAME:
            if not queries.new_name(query):
                raise Denied(400, "name: give the new name", rule="2.2 rename")
        case Operation.CONTAINER_UPDATE:
            containers.parse_update(body, policy)
        case Operation.EXEC_CREATE:
            exec_.parse_create(body, policy)
        case Operation.EXEC_START:
            exec_.parse_start(body)
        case Operation.NETWORK_CREATE:
            networks.parse_create(body, policy)
        case Operation.NETWORK_CONNECT | Operation.NETWORK_DISCONNECT:
            return networks.parse_connect(body).references
        case Operation.VOLUME_CREATE:
            volumes.parse_create(body, policy)
        case Operation.IMAGE_PULL:
            images.parse_pull(query, policy)
        case Operation.IMAGE_TAG:
            images.parse_tag(route, tenant)
        case Operation.IMAGES_SAVE:
            return images.saved(query)
        case Operation.COMMIT:
            return (commits.parse(query, body, tenant=tenant).container,)
        case Operation.BUILD:
            build.parse(query, tenant)
        case Operation.ARCHIVE_PUT if body:
            build.check_plain_tar(body[:512], field="archive")
        case operation if operation in _LISTS:
            return filters.parse(query.one("filters"), kind=_LISTS[operation]).required
        case operation if operation in _PRUNES:
            filters.parse_prune(query.one("filters"))
    return ()


def dump(explanation: Explanation) -> bytes:
    """Return an explanation as one line of JSON."""
    return strict_json.dump(
        {
            "request": explanation.request,
            "verdict": "allow" if explanation.allowed else "deny",
            "rule": explanation.rule,
            "status": explanation.status,
            "message": explanation.message,
            "needs": [[named.kind.value, named.text] for named in explanation.needs],
        }
    )
