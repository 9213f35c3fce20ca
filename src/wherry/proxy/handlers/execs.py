"""Programs executed in containers of a tenant's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wherry.proxy.policy import answers, exec_
from wherry.proxy.policy.model import Denied, Kind, Named, missing

if TYPE_CHECKING:
    from wherry.proxy.handlers.call import Call


async def create(call: Call) -> None:
    """Prepare a program, and record its id."""
    scope = call.scope
    container = call.container()
    request = exec_.parse_create(await call.exchange.request.body.read(), scope.policy)
    with scope.ledger.reserve(scope.name, "exec") as reservation:
        made = await scope.call("POST", f"/containers/{container.id}/exec", data=request.render())
        call.about(reservation.commit(made["Id"], container=container.id))
    await call.exchange.json(201, {"Id": made["Id"]})


async def start(call: Call) -> None:
    """Start it, joined with the client's connection unless that is not wanted."""
    request = exec_.parse_start(await call.exchange.request.body.read())
    described = await _inspect(call)
    if (described.get("ProcessConfig") or {}).get("privileged"):
        raise Denied(403, "Privileged: this program may not be started", rule="2.4 Privileged")
    body = json.dumps(request.render()).encode()
    path = f"/exec/{described['ID']}/start"
    if request.detach:
        await call.ask(path, body=body)
        await call.exchange.answer(200)
    else:
        await call.join(path, body=body)


async def resize(call: Call) -> None:
    """Change the size of its terminal."""
    described = await _inspect(call)
    await call.hand_on(f"/exec/{described['ID']}/resize", query=call.query())


async def show(call: Call) -> None:
    """Describe it."""
    described = await _inspect(call)
    if not described.get("Running") and described.get("ExitCode") is not None:
        owned = call.scope.own(Named(Kind.EXEC, call.route.name))
        call.scope.registry.ended(owned)
    await call.exchange.json(200, answers.exec_(described))


async def _inspect(call: Call) -> dict[str, Any]:
    """Return an exec as the engine describes it; it and its container must be theirs."""
    named = Named(Kind.EXEC, call.route.name)
    owned, described = await call.scope.inspect(named)
    call.about(owned)
    if described.get("ContainerID") not in call.scope.registry.ids(call.scope.name, "container"):
        raise missing(named)
    return described
