"""The ``filters`` of lists: names in them become full ids, or nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.proxy.handlers import images
from wherry.proxy.policy import filters
from wherry.proxy.policy.model import Denied, Found, FoundImage, Kind, Named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wherry.proxy.handlers.call import Call
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.policy.filters import Filters


async def filters_of(call: Call, kind: str, *, owner: str = "") -> tuple[Filters, dict[str, str]]:
    """Return the filters of a list, and the query that asks the engine with them.

    Raises :class:`Denied` for a key that is not known, and (404) for ``before`` and ``since``
    of what is not theirs: they would tell whether it exists.
    """
    parsed = filters.parse(call.route.query.one("filters"), kind=kind)
    found = await _found(call.scope, parsed.required, strict=True)
    also = await _found(call.scope, parsed.optional, strict=False)
    known = Found(
        containers={**found.containers, **also.containers},
        networks={**found.networks, **also.networks},
        volumes={**found.volumes, **also.volumes},
        images={**found.images, **also.images},
    )
    rendered = parsed.render(known, owner=owner)
    return parsed, {**call.query(), **({"filters": rendered} if rendered else {})}


async def _found(scope: Scope, wanted: Iterable[Named], *, strict: bool) -> Found:
    ids: dict[Kind, dict[str, str]] = {
        Kind.CONTAINER: {}, Kind.NETWORK: {}, Kind.VOLUME: {}
    }  # fmt: skip
    seen: dict[str, FoundImage] = {}
    for named in wanted:
        try:
            if named.kind is Kind.IMAGE:
                seen[named.text] = await images.find(scope, named)
            else:
                ids[named.kind][named.text] = scope.own(named).id
        except Denied:
            if strict:
                raise
    return Found(
        containers=ids[Kind.CONTAINER],
        networks=ids[Kind.NETWORK],
        volumes=ids[Kind.VOLUME],
        images=seen,
    )
