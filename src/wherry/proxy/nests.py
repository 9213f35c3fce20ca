"""Making tenants below tenants: never with more than the one above has."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.errors import WherryError
from wherry.proxy import quick
from wherry.proxy.handlers.nesting import Nested
from wherry.proxy.inject import injection
from wherry.proxy.policy.model import NESTED, Denied
from wherry.proxy.tenants.places import nested_name

if TYPE_CHECKING:
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.proxy import Proxy

_RULE = "4 nested"
_OPEN = frozenset({"lifetime", "storage", "image_size"})
"""Limits of which 0 is none."""


class Nests:
    """Implements :class:`~wherry.proxy.handlers.nesting.Nesting` on a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def begin(self, scope: Scope, wanted: str) -> Nested:
        """Make a tenant with a socket below another; raises :class:`Denied`."""
        tenant = await self._proxy.add(
            nested_name(scope.name), policy=below(scope, wanted), parent=scope.name, directory=True
        )
        return Nested(tenant=tenant.name, injection=injection(Path(tenant.directory)))

    def look_now(self) -> None:
        """See whose time has come."""
        self._proxy.lifetime.look_now()

    def bind(self, nested: Nested, container: str) -> None:
        """Bind it to its container."""
        self._proxy.hold(nested.tenant, container)

    async def drop(self, nested: Nested) -> None:
        """Take it down."""
        await self._proxy.end(nested.tenant)


def below(scope: Scope, wanted: str) -> str:
    """Return the policy of a tenant below another: the same one with less, as TOML."""
    limits = scope.policy.limits
    if limits.depth < 1:
        raise Denied(
            403, f"Labels: {NESTED}: a socket is not given any further down from here", rule=_RULE
        )
    try:
        asked = tomllib.loads(quick.quick_policy(wanted, field=NESTED))
    except WherryError as error:
        raise Denied(400, str(error), rule=_RULE) from error
    if unknown := set(asked) - {"limits"}:
        raise Denied(403, f"Labels: {NESTED}: {min(unknown)!r} is as above; only limits can be "
                     "chosen", rule=_RULE)  # fmt: skip
    document = tomllib.loads(scope.tenant.policy)
    mine: dict[str, Any] = {**document.get("limits", {}), "depth": limits.depth - 1}
    for name, value in asked.get("limits", {}).items():
        most = getattr(limits, name)
        limits_ = (value, most) if name not in _OPEN else filter(None, (value, most))
        mine[name] = min(limits_, default=0)
    mine["depth"] = min(mine["depth"], limits.depth - 1)
    return quick.dump({**document, "limits": mine})
