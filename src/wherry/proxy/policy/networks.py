"""Bodies of network requests (2.7, F6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from wherry.proxy.policy import endpoints, names, strict_json
from wherry.proxy.policy import labels as labelling
from wherry.proxy.policy.endpoints import Endpoint
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.model import OWNER, Found, Kind, Named, Policy, TenantView

_RESERVED = frozenset({"host", "none", "bridge", "default", "container", "ingress"})


@dataclass(frozen=True, slots=True)
class NetworkCreate:
    """A bridge network that a tenant wants; the engine chooses its addresses."""

    name: str
    internal: bool = False
    labels: dict[str, str] = field(default_factory=dict)

    def render(
        self, tenant: TenantView, *, owner: Mapping[str, str] | None = None
    ) -> dict[str, object]:
        """Return the new body. 20.10 allows two of one name; the caller must not."""
        return {
            "Name": names.scoped(tenant.name, self.name),
            "CheckDuplicate": True,
            "Driver": "bridge",
            "Internal": self.internal,
            "Labels": {**self.labels, **(owner or {}), OWNER: tenant.name},
        }


@dataclass(frozen=True, slots=True)
class Connect:
    """A container that joins or leaves a network."""

    container: str
    endpoint: Endpoint = Endpoint()  # noqa: RUF009 - a frozen value
    force: bool = False

    @property
    def references(self) -> tuple[Named, ...]:
        """The container, and those it is linked to."""
        return tuple(self._references())

    def _references(self) -> Iterator[Named]:
        yield Named(Kind.CONTAINER, self.container, "Container")
        yield from self.endpoint.references

    def render(self, found: Found, *, alias: str = "") -> dict[str, object]:
        """Return the new body of ``connect``."""
        return {
            "Container": found.containers[self.container],
            "EndpointConfig": self.endpoint.render(found, alias=alias),
        }

    def render_disconnect(self, found: Found) -> dict[str, object]:
        """Return the new body of ``disconnect``."""
        return {"Container": found.containers[self.container], "Force": self.force}


def parse_create(body: bytes, policy: Policy) -> NetworkCreate:
    """Read the body of ``POST /networks/create``; raises :class:`Denied`."""
    fields = Fields(strict_json.parse_object(body), section="2.7")
    name = names.check_new(fields.text("Name"), field="Name", least=1)
    if name in _RESERVED:
        fields.refuse("Name", f"{name!r} means something else; choose another")
    fields.choice("Driver", {"bridge"})
    fields.boolean("CheckDuplicate")
    internal = fields.boolean("Internal")
    if fields.optional_boolean("EnableIPv4") is False:
        fields.refuse("EnableIPv4", "may not be turned off")
    fields.empty("EnableIPv6", why="needs addresses that are not offered; leave it out")
    fields.empty("Options", why="change the host's interfaces and firewall (F6); leave them out")
    fields.empty("Attachable", "Ingress", "ConfigOnly", why="there is no cluster")
    if fields.text("Scope") not in ("", "local"):
        fields.refuse("Scope", "there is no cluster")
    origin = fields.child("ConfigFrom")
    origin.empty("Network", why="would take over another network's settings; leave it out")
    origin.done()
    _check_addresses(fields.child("IPAM"))
    given = labelling.check(fields.pairs("Labels"), policy, field="Labels")
    fields.done()
    return NetworkCreate(name, internal, given)


def parse_connect(body: bytes) -> Connect:
    """Read the body of ``connect`` or ``disconnect``; raises :class:`Denied`."""
    fields = Fields(strict_json.parse_object(body), section="2.7")
    container = fields.text("Container")
    if not names.is_name(container):
        raise fields.denied("Container", f"{container!r} is no container", status=400)
    endpoint = endpoints.parse(fields.child("EndpointConfig"))
    force = fields.boolean("Force")
    fields.done()
    return Connect(container, endpoint, force)


def _check_addresses(fields: Fields) -> None:
    fields.choice("Driver", {"default"})
    fields.empty("Options", why="are not offered; leave them out")
    given = fields.raw("Config")
    if given not in (None, [], [{}], {}):
        fields.refuse("Config", "would install a route on the host (F6); leave the addresses to "
                      "the engine")  # fmt: skip
    fields.done()
