"""What is done with images."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from wherry.engines.closing import finish
from wherry.engines.docker.failures import Refused
from wherry.images.reference import Reference
from wherry.proxy.handlers import filtering, images
from wherry.proxy.handlers.call import check
from wherry.proxy.policy import answers, filters, names
from wherry.proxy.policy import images as policy
from wherry.proxy.policy.model import Denied, Kind, Named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wherry.proxy.handlers.call import Call
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.tenants.ledger import Reservation
    from wherry.proxy.tenants.model import Owned


async def show_all(call: Call) -> None:
    """List the images that the tenant sees, by the names that it may know."""
    scope = call.scope
    wanted, rendered = await filtering.filters_of(call, "image")
    found = await scope.call("GET", "/images/json", query=rendered)
    seen = [item for item in found if images.is_visible(scope, item)]
    pulled = images.pulled(scope)
    shown = [answers.image(item, scope.view(), pulled=pulled) for item in seen]
    kept = [item for item in shown if wanted.keeps(item["RepoTags"] or ["<none>:<none>"])]
    await call.exchange.json(200, kept)


async def show(call: Call) -> None:
    """Describe one, or tell its history."""
    scope = call.scope
    described = await images.describe(scope, Named(Kind.IMAGE, call.route.name))
    call.object = f"image {described['Id']}"
    if call.route.operation.value == "image.history":
        history = await scope.call("GET", f"/images/{described['Id']}/history")
        told = answers.image_history(history, scope.view(), image_id=described["Id"])
        await call.exchange.json(200, told)
        return
    shown = answers.image(described, scope.view(), pulled=images.pulled(scope))
    await call.exchange.json(200, shown)


async def attestations(call: Call) -> None:
    """Tell what is attested of one that the tenant sees."""
    described = await images.describe(call.scope, Named(Kind.IMAGE, call.route.name))
    call.object = f"image {described['Id']}"
    await call.hand_on(f"/images/{described['Id']}/attestations")


async def pull(call: Call) -> None:
    """Pull one that the policy allows, and record it.

    A tag that the engine has already, and that is not this tenant's alone, is not moved: others
    rely on it.
    """
    scope = call.scope
    request = policy.parse_pull(call.route.query, scope.policy)
    present = await images.inspect(scope, request.text)
    if present is not None and not _is_theirs_alone(scope, present, request.text):
        _record(scope, present["Id"], request.text, made=False)
        call.object = f"image {present['Id']}"
        lines = [json.dumps(each) + "\r\n" for each in answers.up_to_date(request.text)]
        await call.exchange.answer(200, "".join(lines).encode())
        return
    headers = {"accept": "application/json"}
    if (login := call.exchange.request.header("x-registry-auth")) is not None:
        headers["x-registry-auth"] = login
    with scope.ledger.reserve(scope.name, "image", reference=request.text) as reservation:
        async with (
            call.exchange.while_present(),
            scope.engine.upstream.exchange(
                "POST", "/images/create", query=request.render(), headers=headers, timeout=None
            ) as answer,
        ):
            await check(answer)
            chunks = _recorded(call, answer.stream(), request.text, reservation)
            try:
                await call.pass_on(answer, chunks)
            finally:  # a client that leaves at the last moment has pulled it all the same
                await finish(_settled(scope, request.text, reservation))


async def _recorded(
    call: Call, chunks: AsyncIterator[bytes], text: str, reservation: Reservation
) -> AsyncIterator[bytes]:
    """Hand progress on; before its end the image is the tenant's, or there is an error in it."""
    scope = call.scope
    async for chunk in chunks:
        yield chunk
    pulled = await images.inspect(scope, text)
    reservation.release()
    if pulled is None:
        return
    call.object = f"image {pulled['Id']}"
    try:
        images.check_size(scope, pulled)
        _record(scope, pulled["Id"], text, made=True)
    except Denied as error:
        await _delete(scope, text)
        yield images.trouble(error)


async def _settled(scope: Scope, text: str, reservation: Reservation) -> None:
    pulled = await images.inspect(scope, text)
    reservation.release()
    if pulled is None or scope.registry.get("image", pulled["Id"], tenant=scope.name):
        return
    try:
        images.check_size(scope, pulled)
        _record(scope, pulled["Id"], text, made=True)
    except Denied:
        await _delete(scope, text)


def _is_theirs_alone(scope: Scope, present: dict[str, Any], text: str) -> bool:
    """Whether it was this tenant's pull that made the tag."""
    holders = scope.registry.holders("image", present["Id"])
    return (
        any(one.tenant == scope.name and text in one.name.split() for one in holders)
        and len(holders) == 1
    )


def _record(scope: Scope, id_: str, text: str, *, made: bool) -> None:
    """Record that the tenant has an image by a name; ``made`` is whether it made the tag."""
    before = scope.registry.get("image", id_, tenant=scope.name)
    reference, name = text, text if made else ""
    if before is not None:
        reference = _with(before.reference, text)
        name = _with(before.name, text) if made else before.name
    images.record(scope, id_, reference=reference, name=name)
    for other in scope.registry.owned(scope.name, "image"):
        if other.id != id_ and text in other.reference.split():  # it had the name until now
            images.record(
                scope,
                other.id,
                reference=_without(other.reference, text),
                name=_without(other.name, text),
            )


def _without(words: str, word: str) -> str:
    return " ".join(each for each in words.split() if each != word)


def _with(words: str, word: str) -> str:
    return " ".join(dict.fromkeys([*words.split(), word]))


async def tag(call: Call) -> None:
    """Give an image that the tenant sees a name of the tenant's own."""
    scope = call.scope
    request = policy.parse_tag(call.route, scope.view())
    described = await images.describe(scope, request.source)
    call.object = f"image {described['Id']}"
    was_theirs = scope.registry.get("image", described["Id"], tenant=scope.name) is not None
    images.record(scope, described["Id"])  # first: a tag that nobody has on record would stay
    try:
        await scope.call("POST", f"/images/{described['Id']}/tag", query=request.render())
    except Refused:
        if not was_theirs:
            scope.registry.forget("image", described["Id"], tenant=scope.name)
        raise
    await call.exchange.answer(201)


async def remove(call: Call) -> None:
    """Remove tags of the tenant's own, one by one and never by force."""
    scope = call.scope
    named = Named(Kind.IMAGE, call.route.name)
    described = await images.describe(scope, named)
    id_ = described["Id"]
    call.object = f"image {id_}"
    owned = scope.registry.get("image", id_, tenant=scope.name)
    tags = described.get("RepoTags") or []
    gone: list[dict[str, str]] = []
    if owned is not None and images.pulled_as(owned, call.route.name):
        gone += await _let_go(scope, owned, call.route.name)
    else:
        alone = owned is not None and len(scope.registry.holders("image", id_)) == 1
        if policy.is_id(call.route.name) and not (owned and alone and images.made_here(owned)):
            raise Denied(409, f"{call.route.name}: the image is used by others, too; remove your "
                         "tags by name", rule="2.2 image.remove")  # fmt: skip
        for each in policy.check_removal(call.route.name, tags, tenant=scope.view()) or (id_,):
            gone += await _delete(scope, each)
        await images.forget_if_gone(scope, id_)
    await call.exchange.json(200, answers.progress(gone, scope.view()))


async def _let_go(scope: Scope, owned: Owned, text: str) -> list[dict[str, str]]:
    """Give a pulled image up; the tag goes with it when it was this tenant's pull that made it."""
    familiar = Reference.parse(text).familiar
    gone: list[dict[str, str]] = [{"Untagged": familiar}]
    if familiar in owned.name.split() and len(scope.registry.holders("image", owned.id)) == 1:
        gone = await _delete(scope, familiar)
    images.record(
        scope,
        owned.id,
        reference=_without(owned.reference, familiar),
        name=_without(owned.name, familiar),
    )
    await images.forget_if_gone(scope, owned.id)
    return gone


async def prune(call: Call) -> None:
    """Remove those of the tenant's own that no container uses: without a name, or all."""
    scope = call.scope
    wanted = filters.parse_prune(call.route.query.one("filters"))
    now = time.time()
    gone: list[dict[str, str]] = []
    for owned in scope.registry.owned(scope.name, "image"):
        described = await images.inspect(scope, owned.id)
        if described is None:
            scope.registry.forget("image", owned.id, tenant=scope.name)
            continue
        tags = described.get("RepoTags") or []
        labels = (described.get("Config") or {}).get("Labels") or {}
        foreign = [one for one in tags if names.plain_image(scope.name, one) is None]
        if (
            foreign
            or not images.made_here(owned)
            or (tags and wanted.dangling)
            or len(scope.registry.holders("image", owned.id)) > 1
            or not wanted.keeps(labels, created=owned.created, now=now)
        ):
            continue
        try:
            for each in tags or [owned.id]:
                gone += await _delete(scope, each)
        except Refused:  # a container uses it
            continue
        await images.forget_if_gone(scope, owned.id)
    shown = answers.progress(gone, scope.view())
    await call.exchange.json(200, {"ImagesDeleted": shown, "SpaceReclaimed": 0})


async def _delete(scope: Scope, text: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = await scope.call("DELETE", f"/images/{text}") or []
    return found


async def save(call: Call) -> None:
    """Hand out images of the tenant's own as an archive."""
    scope = call.scope
    if call.route.operation.value == "images.save":
        wanted = policy.saved(call.route.query)
    else:
        wanted = (Named(Kind.IMAGE, call.route.name),)
    found = [(named, (await images.describe(scope, named))["Id"]) for named in wanted]
    for named, id_ in found:
        if scope.registry.get("image", id_, tenant=scope.name) is None:
            raise Denied(403, f"{named.text}: only images of your own are handed out",
                         rule="2.2 get")  # fmt: skip
    ids = [id_ for _, id_ in found]
    await call.relay("/images/get", query={"names": ids})
