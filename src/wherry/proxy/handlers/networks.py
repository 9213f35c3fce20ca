"""Networks of a tenant's own, one of which stands in for the default bridge."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from wherry.engines.docker.failures import Refused
from wherry.proxy.handlers import filtering, resolving
from wherry.proxy.handlers.call import unbroken
from wherry.proxy.handlers.containers import name_taken
from wherry.proxy.policy import answers, filters, networks
from wherry.proxy.policy.model import Denied, Kind, Named, Profile
from wherry.proxy.tenants.model import Amounts

if TYPE_CHECKING:
    from wherry.proxy.handlers.call import Call
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.tenants.model import Owned

DEFAULT = "bridge"
"""What the tenant calls the network that stands in for the default one."""

_NONE = "none"


async def ensure_default(scope: Scope) -> None:
    """Make the tenant's own network, in place of the default bridge that all others share."""
    async with scope.making:
        tenant = scope.tenant
        if tenant.network and scope.registry.get("network", tenant.network, tenant=scope.name):
            return
        # No tenant can call one so: it was made, and the proxy died before it was noted here.
        owned = scope.registry.named(scope.name, "network", name=DEFAULT)
        if owned is None:
            owned = await _make(scope, networks.NetworkCreate(DEFAULT))
        # It came with the tenant, and is not one of those that the tenant may have.
        scope.registry.record(replace(owned, amounts=Amounts()))
        scope.registry.put(replace(scope.tenant, network=owned.id))


async def create(call: Call) -> None:
    """Make a network; two of one name there are not, whatever the engine would allow."""
    scope = call.scope
    request = networks.parse_create(await call.exchange.request.body.read(), scope.policy)
    async with scope.making:
        if taken := scope.registry.named(scope.name, "network", name=request.name):
            raise name_taken("network", request.name, id_=taken.id)
        owned = await _make(scope, request)
    call.about(owned)
    await call.exchange.json(201, {"Id": owned.id, "Warning": ""})


async def _make(scope: Scope, request: networks.NetworkCreate) -> Owned:
    with scope.ledger.reserve(scope.name, "network", name=request.name) as reservation:
        body = request.render(scope.view(), owner=scope.labels(reservation.nonce))

        async def make() -> Owned:
            made = await scope.call("POST", "/networks/create", data=body)
            return reservation.commit(made["Id"])

        return await unbroken(make())


async def show_all(call: Call) -> None:
    """List the tenant's networks, and no others."""
    scope = call.scope
    wanted, rendered = await filtering.filters_of(call, "network")
    found = await scope.call("GET", "/networks", query=rendered)
    view = scope.view()
    shown = [answers.network(each, view) for each in found if each["Id"] in view.networks]
    await call.exchange.json(200, [each for each in shown if wanted.keeps([each["Name"]])])


async def show(call: Call) -> None:
    """Describe one."""
    scope = call.scope
    if call.route.name == _NONE:  # it is everybody's, and shows of whom it has only the own
        described = await scope.call("GET", f"/networks/{_NONE}")
    else:
        if call.route.name == DEFAULT and scope.policy.profile is not Profile.READONLY:
            await ensure_default(scope)
        owned, described = await scope.inspect(_named(call))
        call.about(owned)
    await call.exchange.json(200, answers.network(described, scope.view()))


async def connect(call: Call) -> None:
    """Let a container of theirs join a network of theirs, or leave it."""
    scope = call.scope
    network = call.about(scope.own(_named(call)))
    request = networks.parse_connect(await call.exchange.request.body.read())
    found = await resolving.resolve(scope, request)
    word = call.route.operation.value.rpartition(".")[2]
    if word == "connect":
        name = scope.container(request.container).name
        body = request.render(found, alias=name)
    else:
        body = request.render_disconnect(found)
    await scope.call("POST", f"/networks/{network.id}/{word}", data=body)
    await call.exchange.answer(200)


async def remove(call: Call) -> None:
    """Remove one; not the one that came with the tenant."""
    scope = call.scope
    owned = call.about(scope.own(_named(call)))
    if owned.id == scope.tenant.network:
        raise Denied(403, f"{DEFAULT} is a pre-defined network and cannot be removed", rule="2.7")
    await _delete(scope, owned)
    await call.exchange.answer(204)


async def prune(call: Call) -> None:
    """Remove those of theirs that nothing is connected to."""
    scope = call.scope
    wanted = filters.parse_prune(call.route.query.one("filters"))
    now = time.time()
    gone: list[str] = []
    for owned in scope.registry.owned(scope.name, "network"):
        if owned.id == scope.tenant.network:
            continue
        try:
            described = await scope.call("GET", f"/networks/{owned.id}")
            labels = described.get("Labels") or {}
            if described.get("Containers") or not wanted.keeps(
                labels, created=owned.created, now=now
            ):
                continue
            await _delete(scope, owned)
        except Refused:
            continue
        gone.append(owned.name)
    await call.exchange.json(200, {"NetworksDeleted": gone})


async def _delete(scope: Scope, owned: Owned) -> None:
    try:
        await scope.call("DELETE", f"/networks/{owned.id}")
    except Refused as error:
        if error.status != 404:
            raise
    scope.registry.forget("network", owned.id, tenant=scope.name)


def _named(call: Call) -> Named:
    return Named(Kind.NETWORK, call.route.name)
