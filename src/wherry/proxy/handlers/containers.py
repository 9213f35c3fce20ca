"""What is done with a container that exists."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused
from wherry.proxy.decoder import json_objects
from wherry.proxy.handlers.call import unbroken
from wherry.proxy.policy import answers, containers, names, queries
from wherry.proxy.policy.model import Denied
from wherry.proxy.tenants.model import Amounts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wherry.proxy.handlers.call import Call
    from wherry.proxy.tenants.model import Owned

_SLACK = 60.0
"""Seconds that the engine may take beyond those that it was told to wait."""


async def start(call: Call) -> None:
    """Start it; no body is ever sent along (F4)."""
    owned = call.container()
    async with call.scope.turn(owned.id):
        await call.hand_on(f"/containers/{owned.id}/start", query=call.query())


async def stop(call: Call) -> None:
    """Stop or restart it, and wait no longer than the policy lets it take."""
    owned = call.container()
    word = call.route.operation.value.rpartition(".")[2]
    most = call.scope.policy.limits.stop_timeout
    async with call.scope.turn(owned.id):
        await call.hand_on(
            f"/containers/{owned.id}/{word}", query=call.query(), timeout=most + _SLACK
        )


async def plain(call: Call) -> None:
    """Kill, pause, unpause or resize it, list its processes or what it changed."""
    owned = call.container()
    word = call.route.operation.value.rpartition(".")[2]
    await call.hand_on(f"/containers/{owned.id}/{word}", query=call.query())


async def wait(call: Call) -> None:
    """Tell how it ended: the head of the answer at once, the rest when it has."""
    owned = call.container()
    await call.relay(f"/containers/{owned.id}/wait", query=call.query())


async def stats(call: Call) -> None:
    """Tell what it uses, sample by sample."""
    owned = call.container()
    view = call.scope.view()

    async def shown(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for sample in json_objects(chunks):
            yield json.dumps(answers.stats(sample, view)).encode() + b"\n"

    await call.relay(f"/containers/{owned.id}/stats", query=call.query(), through=shown)


async def stream(call: Call) -> None:
    """Follow its logs, or export its file system."""
    owned = call.container()
    word = call.route.operation.value.rpartition(".")[2]
    await call.relay(f"/containers/{owned.id}/{word}", query=call.query())


async def attach(call: Call) -> None:
    """Join the client's connection with the container's streams."""
    owned = call.container()
    websocket = call.exchange.request.upgrade == "websocket"
    path = f"/containers/{owned.id}/attach{'/ws' if websocket else ''}"
    await call.join(path, query=call.query())


async def rename(call: Call) -> None:
    """Give it another name, of this tenant's alone."""
    owned = call.container()
    name = queries.new_name(call.route.query)
    if not name:
        raise Denied(400, "Neither old nor new names may be empty", rule="G1")
    scope = call.scope
    taken = scope.registry.named(scope.name, "container", name=name)
    if taken is not None:
        raise name_taken("container", name, id_=taken.id)

    async def give() -> None:
        query = {"name": names.scoped(scope.name, name)}
        await call.ask(f"/containers/{owned.id}/rename", query=query)
        scope.registry.rename(owned, name)

    async with scope.turn(f"rename {owned.id}"):
        await unbroken(give())
    await call.exchange.answer(204)


async def update(call: Call) -> None:
    """Change its limits, within the quota: what it gets is counted before the engine is asked.

    One after the other: two at one time could leave the greater one with the lesser one counted.
    """
    scope = call.scope
    owned = call.container()
    request = containers.parse_update(await call.exchange.request.body.read(), scope.policy)
    async with scope.turn(f"update {owned.id}"):
        status, value = await _updated(call, request, call.container())
    await call.exchange.json(status, {"Warnings": (value or {}).get("Warnings") or []})


async def _updated(
    call: Call, request: containers.ContainerUpdate, owned: Owned
) -> tuple[int, dict[str, Any] | None]:
    scope = call.scope
    asked, had = request.amounts, owned.amounts
    wanted = Amounts(
        memory=asked.memory or had.memory,
        nano_cpus=asked.nano_cpus or had.nano_cpus,
        pids=asked.pids or had.pids,
    )
    # Both count until the engine has said which of them it is.
    owned = scope.ledger.change(owned, wanted.at_least(had))
    body = json.dumps(request.render()).encode()
    try:
        status, value = await call.ask(f"/containers/{owned.id}/update", body=body)
    except Refused:
        scope.ledger.change(owned, had)
        raise
    scope.ledger.change(owned, wanted)
    return status, value


async def remove(call: Call) -> None:
    """Remove it, and give its quota back."""
    owned = call.container()
    query = call.query()
    path = f"/containers/{owned.id}"
    try:
        status, _ = await call.ask(path, query=query)
    except Refused as error:
        if error.status != 404:
            raise
        call.scope.registry.forget("container", owned.id, tenant=call.scope.name)
        raise Denied(404, f"No such container: {call.route.name}", rule="G3") from error
    call.scope.registry.forget("container", owned.id, tenant=call.scope.name)
    await call.exchange.answer(status)


def name_taken(kind: str, name: str, *, id_: str) -> Denied:
    """Return the daemon's words for a name that the tenant itself has given already."""
    if kind == "container":
        said = (
            f'Conflict. The container name "/{name}" is already in use by container "{id_}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )
    else:
        said = f"{kind} with name {name} already exists"
    return Denied(409, said, rule="G10")
