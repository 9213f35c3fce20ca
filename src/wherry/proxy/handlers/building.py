"""``docker build`` and ``docker commit``: images of a tenant's own."""

from __future__ import annotations

import asyncio
import json
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from wherry.engines.closing import finish
from wherry.engines.docker.failures import Refused
from wherry.errors import EngineError
from wherry.proxy.decoder import json_objects
from wherry.proxy.handlers import images, networks, resolving
from wherry.proxy.handlers.call import check, unbroken
from wherry.proxy.policy import answers, build, commits
from wherry.proxy.policy import images as policy_images
from wherry.proxy.policy.model import Denied
from wherry.proxy.tenants.labels import BUILD, build_labels
from wherry.proxy.tenants.leavings import Leavings
from wherry.proxy.tenants.model import Amounts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wherry.proxy.handlers.call import Call
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.tenants.ledger import Reservation

_PIECE = 64 * 1024


async def make(call: Call) -> None:
    """Build from a context that was read, checked and written anew (2.6)."""
    scope = call.scope
    await networks.ensure_default(scope)
    request = build.parse(call.route.query, scope.view())
    limits = scope.policy.limits
    if scope.builds >= limits.builds:
        raise Denied(403, f"the quota is reached: builds: {limits.builds} at most at one time",
                     rule="2.8 quota")  # fmt: skip
    scope.builds += 1
    try:
        amounts = Amounts(
            memory=request.amounts.memory,
            nano_cpus=request.amounts.nano_cpus,
            pids=request.amounts.pids,
        )
        with scope.ledger.reserve(scope.name, "image", amounts=amounts) as reservation:
            try:
                await _build(call, request, reservation)
            finally:
                reservation.release()
    finally:
        scope.builds -= 1
        await finish(_swept(scope))


async def _swept(scope: Scope) -> None:
    """Remove what a build has left on its way; what cannot be now is later."""
    with suppress(EngineError):
        await Leavings(scope.registry, scope.engine.client).remove(tenant=scope.name)


async def _build(call: Call, request: build.Build, reservation: Reservation) -> None:
    scope = call.scope
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as written:
        async for chunk in call.exchange.request.body.stream(scope.policy.limits.build_context):
            given.write(chunk)
        context = await asyncio.to_thread(build.read_context, given, request, policy=scope.policy)
        ids = {}
        for named in context.references:
            image = await images.find(scope, named)
            policy_images.check_base(image, field=named.text)
            ids[named.text] = image.id
        marks = build_labels(instance=scope.registry.instance, tenant=scope.name)
        await asyncio.to_thread(
            build.write_context, given, written, context=context, ids=ids, marks=marks
        )
        written.seek(0)
        headers = {"content-type": "application/x-tar"}
        async with (
            call.exchange.while_present(),
            scope.engine.upstream.exchange(
                "POST", "/build", query=request.query(scope.view(), owner={BUILD: ""}),
                headers=headers, body=_pieces(written), timeout=None,
            ) as answer,
        ):  # fmt: skip
            await check(answer)
            made = [*request.tags]
            chunks = _recorded(scope, answer.stream(), made, reservation)
            try:
                await call.pass_on(answer, chunks)
            finally:  # a client that leaves at the last moment has built it all the same
                await finish(_settled(scope, made, reservation))


async def _pieces(source: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := source.read(_PIECE):
        yield piece


async def _recorded(
    scope: Scope, chunks: AsyncIterator[bytes], made: list[str], reservation: Reservation
) -> AsyncIterator[bytes]:
    """Hand progress on with the tenant's names; before its end the image is the tenant's.

    ``made`` begins with the tags that were asked for, and gets the ids that are told.
    """
    view = scope.view()
    async for item in json_objects(chunks):
        aux = item.get("aux")
        if isinstance(aux, dict) and str(aux.get("ID", "")).startswith("sha256:"):
            made.append(aux["ID"])
        yield json.dumps(answers.progress(item, view)).encode() + b"\r\n"
    if (error := await _record(scope, made, reservation)) is not None:
        yield images.trouble(error)


async def _settled(scope: Scope, made: list[str], reservation: Reservation) -> None:
    with suppress(EngineError):
        await _record(scope, made, reservation)


async def _record(scope: Scope, made: list[str], reservation: Reservation) -> Denied | None:
    """Record what was built; what may not be kept is removed again, and why is returned."""
    found = {name: described["Id"] for name in made
             if (described := await images.inspect(scope, name)) is not None
             and _is_new(scope, described["Id"])}  # fmt: skip
    reservation.release()
    try:
        for id_ in dict.fromkeys(found.values()):
            images.check_size(scope, await images.inspect(scope, id_) or {})
            images.record(scope, id_)
    except Denied as error:
        for name in found:
            with suppress(Refused):
                await scope.call("DELETE", f"/images/{name}")
        return error
    return None


def _is_new(scope: Scope, id_: str) -> bool:
    return scope.registry.get("image", id_, tenant=scope.name) is None


async def commit(call: Call) -> None:
    """Make an image of a container of theirs."""
    scope = call.scope
    body = await call.exchange.request.body.read()
    request = commits.parse(call.route.query, body, tenant=scope.view())
    found = await resolving.resolve_named(scope, (request.container,))
    with scope.ledger.reserve(scope.name, "image") as reservation:
        data = json.dumps(request.render(scope.view())).encode()

        async def make() -> str:
            _, made = await call.ask("/commit", query=request.query(found), body=data)
            if scope.registry.get("image", made["Id"], tenant=scope.name):
                reservation.release()
            else:
                reservation.commit(made["Id"])
            return str(made["Id"])

        id_ = await unbroken(make())
    call.object = f"image {id_}"
    await call.exchange.json(201, {"Id": id_})
