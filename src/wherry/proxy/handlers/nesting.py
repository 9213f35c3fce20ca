"""Tenants below tenants: a child that asks for a socket gets one of its own, and never ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.policy.model import Injection


@dataclass(frozen=True, slots=True, kw_only=True)
class Nested:
    """A tenant below another one, whose container is about to be made."""

    tenant: str
    injection: Injection


class Nesting(Protocol):
    """How tenants below others are made."""

    async def begin(self, scope: Scope, wanted: str) -> Nested:
        """Make a tenant with a socket; ``wanted`` is the label's value.

        Raises :class:`Denied` where the depth or what is wanted is not allowed.
        """
        ...

    def look_now(self) -> None:
        """See whose time has come: a container has a time of its own now."""
        ...

    def bind(self, nested: Nested, container: str) -> None:
        """Bind it to the container that was made for it, by full id."""
        ...

    async def drop(self, nested: Nested) -> None:
        """Take it down: its container could not be made."""
        ...
