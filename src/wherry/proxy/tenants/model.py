"""Tenants and what belongs to them: values only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

Kind = Literal["container", "network", "volume", "image", "exec"]
KINDS: tuple[Kind, ...] = ("container", "network", "volume", "image", "exec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """What is used, or may be used at most; every field adds up over a tenant's objects."""

    containers: int = 0
    """Created and stopped ones count."""
    networks: int = 0
    volumes: int = 0
    images: int = 0
    execs: int = 0
    """Processes executed in containers that still are."""
    memory: int = 0
    """Bytes."""
    nano_cpus: int = 0
    """Billionths of a core."""
    pids: int = 0
    """Processes and threads."""

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            **{name: mine + other_value for name, mine, other_value in self.with_(other)}
        )

    def __sub__(self, other: Amounts) -> Amounts:
        return Amounts(
            **{name: mine - other_value for name, mine, other_value in self.with_(other)}
        )

    def at_least(self, other: Amounts) -> Amounts:
        """Return the greater one of each."""
        return Amounts(**{name: max(mine, theirs) for name, mine, theirs in self.with_(other)})

    def with_(self, other: Amounts) -> Iterator[tuple[str, int, int]]:
        """Yield name, our value and the other's for every field."""
        for field in fields(self):
            yield field.name, getattr(self, field.name), getattr(other, field.name)

    def items(self) -> dict[str, int]:
        """Return what is not zero."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Somebody with a socket: containers, networks, volumes and images of their own."""

    name: str
    parent: str = ""
    """Name of the tenant whose container asked for this one; empty at the root."""
    depth: int = 0
    """How far below the root; 0 is the root."""
    created: float
    """Unix time, seconds."""
    expires: float | None = None
    """Unix time after which all of it is taken down; None: not by time."""
    container: str = ""
    """Full id of the container that holds the socket: its end is the tenant's end. Empty: none."""
    profile: str = "children"
    policy: str = ""
    """TOML of the policy, as :mod:`wherry.proxy.policy.toml` reads it."""
    network: str = ""
    """Full id of the tenant's own network, in place of the default bridge; empty until made."""
    directory: str = ""
    """Where its socket is, when the proxy made the place; empty: where the operator said."""
    is_ending: bool = False
    """Its teardown has begun: nothing new is let through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """One object of a tenant's, by the engine's full id."""

    kind: Kind
    id: str
    """Full id; of a volume its full name, which is all that it has."""
    tenant: str
    name: str = ""
    """As the tenant calls it, without the prefix; empty: it was given none."""
    created: float
    """Unix time, seconds."""
    amounts: Amounts = Amounts()
    """What of the quota it takes."""
    container: str = ""
    """Full id of the container that it ends with: of an exec, or of an anonymous volume."""
    reference: str = ""
    """Of a container: the image as the tenant named it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Something that the engine was, or is about to be, asked to make."""

    nonce: str
    """32 hexadecimal digits; a label of the object, so that a crash cannot lose it."""
    tenant: str
    kind: Kind
    name: str = ""
    amounts: Amounts = Amounts()
    created: float
    reference: str = ""


def amounts_of(document: dict[str, Any]) -> Amounts:
    """Read what :meth:`Amounts.items` gave."""
    return Amounts(**{name: int(value) for name, value in document.items()})
