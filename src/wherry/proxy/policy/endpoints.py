"""How a container is joined to a network: EndpointSettings (2.7)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.proxy.policy import names
from wherry.proxy.policy.model import Found, Kind, Named

if TYPE_CHECKING:
    from wherry.proxy.policy.fields import Fields

_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", re.ASCII)
_OPERATIONAL = (
    "NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway",
    "GlobalIPv6Address", "GlobalIPv6PrefixLen", "DNSNames",
)  # fmt: skip
"""What the engine says about an endpoint; clients send it back, and it means nothing."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's place in a network."""

    aliases: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    links: tuple[tuple[str, str], ...] = ()
    """Container and the alias it gets."""

    @property
    def references(self) -> Iterator[Named]:
        """The containers that are linked."""
        for container, _ in self.links:
            yield Named(Kind.CONTAINER, container, "EndpointConfig.Links")

    def render(self, found: Found, *, alias: str = "") -> dict[str, object]:
        """Return new EndpointSettings; ``alias`` is the container's name, for DNS (G10)."""
        body: dict[str, object] = {}
        if aliases := list(dict.fromkeys((*self.aliases, *filter(None, (alias,))))):
            body["Aliases"] = aliases
        addresses = {"IPv4Address": self.ipv4, "IPv6Address": self.ipv6}
        if given := {key: value for key, value in addresses.items() if value}:
            body["IPAMConfig"] = given
        if self.links:
            body["Links"] = [f"{found.containers[name]}:{alias}" for name, alias in self.links]
        return body


def parse(fields: Fields) -> Endpoint:
    """Read EndpointSettings; raises :class:`Denied`."""
    for key in _OPERATIONAL:
        fields.raw(key)
    fields.empty("MacAddress", why="may not be chosen; leave it out")
    fields.empty("DriverOpts", why="sets kernel parameters and names of interfaces; leave it out")
    fields.empty("GwPriority", why="may not be chosen; leave it out")
    aliases = fields.texts("Aliases")
    for alias in aliases:
        if not _ALIAS.fullmatch(alias):
            raise fields.denied("Aliases", f"{alias!r} is no name of a host", status=400)
    given = fields.child("IPAMConfig")
    given.empty("LinkLocalIPs", why="may not be chosen; leave it out")
    ipv4, ipv6 = _address(given, "IPv4Address", 4), _address(given, "IPv6Address", 6)
    given.done()
    links = tuple(_links(fields))
    fields.done()
    return Endpoint(aliases, ipv4, ipv6, links)


def _address(fields: Fields, key: str, version: int) -> str:
    text = fields.text(key)
    if not text:
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise fields.denied(key, f"{text!r} is no IP address", status=400) from error
    if address.version != version or "%" in text:
        raise fields.denied(key, f"{text!r} is no IPv{version} address", status=400)
    return str(address)


def _links(fields: Fields) -> Iterator[tuple[str, str]]:
    for text in fields.texts("Links"):
        name, _, alias = text.partition(":")
        if not names.is_name(name) or not _ALIAS.fullmatch(alias or name):
            raise fields.denied("Links", f"{text!r} must be CONTAINER or CONTAINER:ALIAS",
                                status=400)  # fmt: skip
        yield name, alias or name
