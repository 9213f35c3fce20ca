"""Images: a tenant's own, those it has pulled, and those that the policy shows it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused
from wherry.errors import UsageError
from wherry.images.reference import Reference
from wherry.proxy.policy import names, patterns
from wherry.proxy.policy.model import Denied, FoundImage, Named, missing

if TYPE_CHECKING:
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.tenants.model import Owned

_ID = re.compile(r"(?:sha256:)?([0-9a-f]{12,64})", re.ASCII)


async def find(scope: Scope, named: Named) -> FoundImage:
    """Return an image that the tenant may see; raises :class:`Denied` (404)."""
    described = await describe(scope, named)
    config = described.get("Config") or {}
    return FoundImage(
        id=described["Id"],
        labels=config.get("Labels") or {},
        working_dir=config.get("WorkingDir") or "",
        on_build=tuple(config.get("OnBuild") or ()),
        user=config.get("User") or "",
        healthcheck=config.get("Healthcheck") or {},
    )


async def describe(scope: Scope, named: Named) -> dict[str, Any]:
    """Return an image that the tenant may see, as the engine has it; raises :class:`Denied`."""
    for candidate in _candidates(scope, named.text):
        described = await inspect(scope, candidate)
        if described is not None and is_visible(scope, described):
            return described
    raise missing(named)


def is_visible(scope: Scope, described: dict[str, Any]) -> bool:
    """Whether a tenant may see an image: it is on record as theirs, or the policy shows a tag."""
    if scope.registry.get("image", described["Id"], tenant=scope.name):
        return True
    tags = [*(described.get("RepoTags") or []), *(described.get("RepoDigests") or [])]
    return any(is_shown(scope, tag) for tag in tags)


def is_shown(scope: Scope, tag: str) -> bool:
    """Whether the policy shows everybody's image of this name to the tenant."""
    if "<none>" in tag:
        return False
    try:
        reference = Reference.parse(tag)
    except UsageError:
        return False
    return patterns.allows(scope.policy.images, reference)


def _candidates(scope: Scope, text: str) -> list[str]:
    """Return what the engine may be asked for a name: the tenant's own meaning comes first."""
    found: list[str] = []
    with suppress(Denied):  # it cannot be a tag of theirs: a digest, or an id
        found.append(names.scoped_image(scope.name, text, field="Image"))
    found += [owned.id for owned in scope.registry.owned(scope.name, "image")
              if pulled_as(owned, text)]  # fmt: skip
    if match := _ID.fullmatch(text):
        digits = match[1]
        ids = [id_ for id_ in scope.registry.ids(scope.name, "image")
               if id_.removeprefix("sha256:").startswith(digits)]  # fmt: skip
        found += ids if len(ids) == 1 else []
        found.append(f"sha256:{digits}" if len(digits) == 64 else digits)
    elif is_shown(scope, text):
        found.append(text)
    return found


def pulled_as(owned: Owned, text: str) -> bool:
    """Whether a tenant has pulled an image by this name."""
    try:
        return Reference.parse(text).familiar in owned.reference.split()
    except UsageError:
        return False


def _is_own_tag(scope: Scope, candidate: str) -> bool:
    """Whether the engine was asked for a tag that only this tenant can make."""
    return candidate.startswith(names.repository(scope.name))


def made_here(owned: Owned) -> bool:
    """Whether the engine has an image through this tenant, and had not when it was pulled."""
    return set(owned.reference.split()) <= set(owned.name.split())


def pulled(scope: Scope) -> frozenset[str]:
    """Return the engine's names that this tenant pulled images by."""
    owned = scope.registry.owned(scope.name, "image")
    return frozenset(word for one in owned for word in one.reference.split())


def record(
    scope: Scope, id_: str, *, reference: str | None = None, name: str | None = None
) -> Owned:
    """Record an image as the tenant's, within the quota; what is not given stays as it was.

    ``reference`` holds the names it was pulled by, ``name`` those of them that this tenant made.
    Raises :class:`Denied`.
    """
    before = scope.registry.get("image", id_, tenant=scope.name)
    if before is None:
        with scope.ledger.reserve(
            scope.name, "image", name=name or "", reference=reference or ""
        ) as reservation:
            return reservation.commit(id_)
    changed = replace(
        before,
        reference=before.reference if reference is None else reference,
        name=before.name if name is None else name,
    )
    scope.registry.record(changed)
    return changed


def check_size(scope: Scope, described: dict[str, Any]) -> None:
    """Raise :class:`Denied` for an image that is larger than a tenant's may be."""
    most, size = scope.policy.limits.image_size, int(described.get("Size") or 0)
    if most and size > most:
        raise Denied(403, f"the image has {size} bytes, and may have {most}", rule="2.8 image_size")


def trouble(error: Denied) -> bytes:
    """Return what stands in a stream of progress for an error."""
    line = {"errorDetail": {"message": error.message}, "error": error.message}
    return json.dumps(line).encode() + b"\r\n"


async def forget_if_gone(scope: Scope, id_: str) -> None:
    """Forget an image that is gone, or that the tenant has no name for any more."""
    owned = scope.registry.get("image", id_, tenant=scope.name)
    if owned is None:
        return
    described = await inspect(scope, id_)
    tags = [] if described is None else described.get("RepoTags") or []
    has_name = any(_is_own_tag(scope, tag) for tag in tags) or bool(owned.reference)
    if described is None or (tags and not has_name):
        scope.registry.forget("image", id_, tenant=scope.name)


async def inspect(scope: Scope, text: str) -> dict[str, Any] | None:
    """Return an image as the engine has it, whoever's it is; None without one."""
    try:
        found: dict[str, Any] = await scope.call("GET", f"/images/{text}/json")
    except Refused as error:
        if error.status in (400, 404):
            return None
        raise
    return found
