"""``POST /containers/create``: reserved, made, recorded, answered, in this order (G8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.engines.closing import finish
from wherry.engines.docker.failures import Refused
from wherry.errors import EngineError
from wherry.proxy.handlers import networks, resolving, volumes
from wherry.proxy.handlers.call import unbroken
from wherry.proxy.handlers.containers import name_taken
from wherry.proxy.policy import containers, names, queries
from wherry.proxy.policy.model import Denied
from wherry.proxy.tenants.model import Amounts

if TYPE_CHECKING:
    from wherry.proxy.handlers.call import Call
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.tenants.ledger import Reservation
    from wherry.proxy.tenants.model import Owned


async def create(call: Call) -> None:
    """Make a container of this tenant's."""
    scope = call.scope
    name = queries.new_name(call.route.query)
    request = containers.parse_create(await call.exchange.request.body.read(), scope.policy)
    if name and (taken := scope.registry.named(scope.name, "container", name=name)):
        raise name_taken("container", name, id_=taken.id)
    amounts = Amounts(
        memory=request.amounts.memory,
        nano_cpus=request.amounts.nano_cpus,
        pids=request.amounts.pids,
    )
    with scope.ledger.reserve(
        scope.name, "container", amounts=amounts, name=name, reference=request.image
    ) as reservation:
        reservation.is_asked = False
        await networks.ensure_default(scope)
        found = await resolving.resolve(scope, request)
        nested = None
        if request.nested is not None:
            nested = await scope.nesting.begin(scope, request.nested)
        try:
            body = request.render(
                found,
                scope.view(),
                name=name,
                owner=scope.labels(reservation.nonce),
                injection=nested.injection if nested else None,
            )
            made, owned = await unbroken(_made(call, body, name, reservation))
        except BaseException:
            if nested is not None:
                await finish(scope.nesting.drop(nested))
            raise
    if nested is not None:
        scope.nesting.bind(nested, owned.id)
    if scope.policy.limits.lifetime:
        scope.nesting.look_now()
    call.about(owned)
    warnings = [*(made.get("Warnings") or []), *request.warnings]
    await call.exchange.json(201, {"Id": owned.id, "Warnings": warnings})


async def _made(
    call: Call, body: dict[str, object], name: str, reservation: Reservation
) -> tuple[dict[str, Any], Owned]:
    reservation.is_asked = True
    made = await _make(call, body, name=name)
    return made, await _record(call.scope, made["Id"], reservation)


async def _make(call: Call, body: dict[str, object], *, name: str) -> dict[str, Any]:
    scope = call.scope
    asked: dict[str, Any] = {key: value for key, value in call.query().items() if value}
    if name:
        asked["name"] = names.scoped(scope.name, name)
    try:
        made: dict[str, Any] = await scope.call(
            "POST", "/containers/create", query=asked, data=body
        )
    except Refused as error:
        if error.status == 409:
            # The engine names the id of whoever has the name, who is somebody else (G10).
            raise Denied(
                409, f'Conflict. The container name "/{name}" is already in use.', rule="G10"
            ) from error
        raise
    return made


async def _record(scope: Scope, id_: str, reservation: Reservation) -> Owned:
    """Record what was made; what cannot be recorded is removed again."""
    try:
        described = await scope.call("GET", f"/containers/{id_}/json")
        name = names.plain(scope.name, described["Name"].removeprefix("/"))
        owned = reservation.commit(id_, name=name)
        for mount in described.get("Mounts") or []:
            volumes.record_anonymous(scope, mount, container=id_)
    except (EngineError, Denied):
        await _remove(scope, id_)
        scope.registry.forget("container", id_, tenant=scope.name)
        raise
    return owned


async def _remove(scope: Scope, id_: str) -> None:
    try:
        await scope.call("DELETE", f"/containers/{id_}", query={"force": True, "v": True})
    except Refused as error:
        if error.status not in (404, 409):
            raise
