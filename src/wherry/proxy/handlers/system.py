"""What a tenant is told about the engine, and lists: all of it about its own alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.proxy.events import Actors, filtered
from wherry.proxy.handlers import filtering
from wherry.proxy.policy import answers, filters
from wherry.proxy.policy.model import Found

if TYPE_CHECKING:
    from wherry.proxy.handlers.call import Call


async def ping(call: Call) -> None:
    """Say that it is there, and which version of the API is spoken."""
    headers = answers.ping_headers(version=call.scope.newest)
    await call.exchange.answer(
        200, b"OK", content_type="text/plain; charset=utf-8", headers=headers
    )


async def version(call: Call) -> None:
    """Tell the engine's version, with the API that is spoken here."""
    told = await call.scope.call("GET", "/version")
    await call.exchange.json(200, answers.version(told, newest=call.scope.newest))


async def info(call: Call) -> None:
    """Describe the tenant as if it were an engine of its own."""
    scope = call.scope
    told = await scope.call("GET", "/info")
    query = {"all": True, "filters": _owner(scope.name)}
    found = await scope.call("GET", "/containers/json", query=query)
    mine = scope.registry.ids(scope.name, "container")
    states = [item["State"] for item in found if item["Id"] in mine]
    count = len(scope.registry.ids(scope.name, "image"))
    shown = answers.info(told, scope.view(), states=states, image_count=count)
    await call.exchange.json(200, shown)


async def containers(call: Call) -> None:
    """List the tenant's containers, and no others."""
    scope = call.scope
    wanted, query = await filtering.filters_of(call, "container", owner=scope.name)
    found = await scope.call("GET", "/containers/json", query=query)
    shown = answers.container_summaries(found, scope.view())
    await call.exchange.json(200, [each for each in shown if wanted.keeps(each["Names"])])


async def container(call: Call) -> None:
    """Describe a container."""
    scope = call.scope
    owned = call.container()
    described = await scope.call("GET", f"/containers/{owned.id}/json", query=call.query())
    await call.exchange.json(200, answers.container(described, scope.view()))


async def events(call: Call) -> None:
    """Tell what happens to the tenant's own, as it happens."""
    scope = call.scope
    _, query = await filtering.filters_of(call, "event")
    async with (
        call.exchange.while_present(),
        scope.engine.upstream.exchange(
            "GET", "/events", query=query, headers={"accept": "application/json"}, timeout=None
        ) as answer,
    ):
        actors = Actors(scope.registry, scope.name)
        chunks = filtered(answer.stream(), actors, view=scope.view)
        await call.exchange.stream(200, chunks, content_type="application/json")


def _owner(tenant: str) -> str:
    return filters.Filters().render(Found(), owner=tenant)
