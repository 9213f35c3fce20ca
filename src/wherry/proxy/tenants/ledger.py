"""The quota: reserved before the engine is asked, under one lock, and kept or given back after."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wherry.engines.docker.failures import Refused
from wherry.proxy.policy.model import Denied
from wherry.proxy.tenants.model import Amounts, Kind, Owned, Pending, Tenant

if TYPE_CHECKING:
    from wherry.proxy.tenants.registry import Registry

Allowed = Callable[[Tenant], Amounts]
"""What a tenant may have at most."""

_NOTHING = Amounts()
_ONE: dict[Kind, Amounts] = {
    "container": Amounts(containers=1),
    "network": Amounts(networks=1),
    "volume": Amounts(volumes=1),
    "image": Amounts(images=1),
    "exec": Amounts(execs=1),
}


class Ledger:
    """Reservations against what tenants may have.

    What a nested tenant uses counts for every tenant above it as well.
    """

    def __init__(self, registry: Registry, *, allowed: Allowed) -> None:
        self._registry = registry
        self._allowed = allowed
        self._lock = threading.Lock()

    def uses(self, tenant: str) -> Amounts:
        """Return what a tenant and all below it use, reservations included."""
        total = self._registry.uses(tenant)
        for below in self._registry.below(tenant):
            total += self._registry.uses(below.name)
        return total

    def reserve(
        self, tenant: str, kind: Kind, *, amounts: Amounts = _NOTHING, name: str = "",
        reference: str = "",
    ) -> Reservation:  # fmt: skip
        """Set aside one object of a kind and what it takes, on disk.

        Raises :class:`Denied` (403, rule ``2.8``) when it would be more than is allowed, naming
        what, how much there is and how much is used.
        """
        total = _ONE[kind] + amounts
        pending = Pending(
            nonce=os.urandom(16).hex(), tenant=tenant, kind=kind, name=name, amounts=total,
            created=time.time(), reference=reference,
        )  # fmt: skip
        with self._lock:
            self._check(tenant, total)
            self._registry.intend(pending)
        return Reservation(self._registry, pending)

    def change(self, owned: Owned, amounts: Amounts) -> Owned:
        """Let an object take other amounts from now on; raises :class:`Denied`.

        What is gone by now takes nothing.
        """
        with self._lock:
            current = self._registry.get(owned.kind, owned.id, tenant=owned.tenant)
            if current is None:
                return owned
            total = replace(amounts, **_ONE[owned.kind].items())
            self._check(owned.tenant, total - current.amounts)
            changed = replace(current, amounts=total)
            self._registry.record(changed)
        return changed

    def _check(self, tenant: str, more: Amounts) -> None:
        for each in self._registry.lineage(tenant):
            most, used = self._allowed(each), self.uses(each.name)
            for name, wanted, limit in more.with_(most):
                have = getattr(used, name)
                if wanted > 0 and have + wanted > limit:
                    whose = "the quota" if each.name == tenant else "the quota of the parent"
                    raise Denied(
                        403,
                        f"{whose} is reached: {name}: {limit} at most, {have} in use, "
                        f"{wanted} more asked for",
                        rule="2.8 quota",
                    )


class Reservation:
    """Something set aside: committed with the object that came of it, else given back."""

    def __init__(self, registry: Registry, pending: Pending) -> None:
        self._registry = registry
        self.pending = pending
        self.is_asked = True
        """Whether the engine may have been asked already; who asks later says so here."""

    @property
    def nonce(self) -> str:
        """What the object's label must say, for it to be found after a crash."""
        return self.pending.nonce

    def commit(self, id_: str, *, name: str | None = None, container: str = "") -> Owned:
        """Record the object that was made, in place of the reservation; on disk."""
        pending = self.pending
        owned = Owned(
            kind=pending.kind, id=id_, tenant=pending.tenant,
            name=pending.name if name is None else name, created=pending.created,
            amounts=pending.amounts, container=container, reference=pending.reference,
        )  # fmt: skip
        self._registry.record(owned, nonce=pending.nonce)
        return owned

    def release(self) -> None:
        """Give it back. Harmless after a commit."""
        self._registry.give_up(self.pending.nonce)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give back what was not committed, when the engine has certainly not made it.

        Where that cannot be known, it stays set aside until the engine has been asked.
        """
        if isinstance(error, Refused | Denied) or (error is not None and not self.is_asked):
            self.release()
        elif error is not None:
            self._registry.abandon(self.nonce)
