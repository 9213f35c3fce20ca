"""Where a request comes from that a proxy hands on: believed of proxies that are known, only."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from wherry.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PEER = "wherry.peer"
"""ASGI extension: the proxy's address, where ``client`` is that of whom it speaks for."""
UNIX = "unix"
_SCHEMES = {"http": "ws", "https": "wss"}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The proxies whose word on where a request comes from is taken."""

    networks: tuple[Network, ...] = ()
    unix: bool = False
    """Whether who connects through a unix socket is such a proxy."""

    @classmethod
    def parse(cls, *texts: str, name: str = "trusted proxy") -> Self:
        """Read addresses, networks such as ``10.0.0.0/8``, and ``unix``.

        Raises :class:`UsageError`, which says ``name``.
        """
        networks = tuple(_network(text, name=name) for text in texts if text != UNIX)
        return cls(networks=networks, unix=UNIX in texts)

    def __or__(self, other: Trusted) -> Trusted:
        return Trusted(networks=self.networks + other.networks, unix=self.unix or other.unix)

    def __bool__(self) -> bool:
        return self.unix or bool(self.networks)

    def has(self, address: str) -> bool:
        """Whether this is the address of such a proxy."""
        found = _address(address)
        return found is not None and any(found in network for network in self.networks)


class Forwarded:
    """An application whose ``client``, scheme and ``Host`` are what a trusted proxy says.

    Of the addresses in ``X-Forwarded-For`` the last one counts that is no such proxy: what is
    before it is the word of somebody who is not known.
    """

    def __init__(self, app: ASGIApp, trusted: Trusted) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the application."""
        if scope["type"] in ("http", "websocket") and self._is_trusted(scope):
            scope = self._seen_through(scope)
        await self._app(scope, receive, send)

    def _is_trusted(self, scope: Scope) -> bool:
        client, server = scope.get("client"), scope.get("server")
        if client is not None:
            return self._trusted.has(client[0])
        # Who has left already has no address either, and is no proxy for that.
        return self._trusted.unix and server is not None and server[1] is None

    def _seen_through(self, scope: Scope) -> Scope:
        peer = scope.get("client")
        found = {**scope, PEER: peer[0] if peer else UNIX}
        if (origin := self._origin(scope)) is not None:
            found["client"] = (origin, 0)
        if (scheme := _last(scope, b"x-forwarded-proto").lower()) in _SCHEMES:
            found["scheme"] = scheme if scope["type"] == "http" else _SCHEMES[scheme]
        if host := _last(scope, b"x-forwarded-host"):
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            found["headers"] = [(b"host", host.encode("latin-1")), *others]
        return found

    def _origin(self, scope: Scope) -> str | None:
        """Return whom the proxies speak for; None when they do not say."""
        origin = None
        for text in reversed(_values(scope, b"x-forwarded-for")):
            address = _address(_without_port(text))
            if address is None:
                break
            origin = str(address)
            if not self._trusted.has(origin):
                break
        return origin


def _network(text: str, *, name: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise UsageError(
            f"{name}: {text!r} is no address or network; write it as in 10.0.0.1, 10.0.0.0/8, "
            "fd00::/8, or unix for those that connect through a unix socket"
        ) from error


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _without_port(text: str) -> str:
    """Return an address as some proxies write it, without its port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _values(scope: Scope, name: bytes) -> list[str]:
    lines = (value.decode("latin-1") for key, value in scope["headers"] if key == name)
    return [part for line in lines for each in line.split(",") if (part := each.strip())]


def _last(scope: Scope, name: bytes) -> str:
    return next(reversed(_values(scope, name)), "")
