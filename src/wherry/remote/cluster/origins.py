"""Which addresses a node may have: what a shared state says is checked before it is used."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import SplitResult, urlsplit

from wherry.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*\.?")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parsed(host: str, *, field: str) -> SplitResult:
    """Return the parts of ``http://HOST:PORT``, and nothing more than these.

    Raises :class:`wherry.errors.UsageError`.
    """
    try:
        parts = urlsplit(host)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{field}: {host!r} must be http://HOST:PORT: {error}") from error
    name = parts.hostname or ""
    plain = parts.scheme in {"http", "https"} and (_address(name) or _NAME.fullmatch(name))
    if not plain or port == 0 or host.rstrip("/").lower() != origin(parts):
        raise UsageError(f"{field}: {host[:200]!r} must be http://HOST:PORT or https://HOST:PORT")
    return parts


def origin(parts: SplitResult) -> str:
    """Return ``scheme://host:port`` in its one way of writing, without a port if it has none."""
    name = parts.hostname or ""
    where = f"[{name}]" if ":" in name else name
    return f"{parts.scheme}://{where}" + (f":{parts.port}" if parts.port else "")


class Origins:
    """The rule for hosts of other nodes.

    They speak the scheme that we speak. With an allow-list, that decides: networks
    (``10.0.0.0/8``) for addresses, patterns (``*.example.org``) for names. Without one,
    link-local addresses (where clouds keep their credentials), multicast and unspecified ones are
    refused, and loopback ones too unless we are on the loopback interface ourselves.
    """

    def __init__(self, own: str, *, allow: Sequence[str] = ()) -> None:
        """Raise :class:`wherry.errors.UsageError` for an ``own`` that is no origin."""
        parts = parsed(own, field="--advertise")
        self._scheme = parts.scheme
        self._loopback = _is_loopback(parts.hostname or "")
        self._networks = [net for text in allow if (net := _network(text)) is not None]
        self._patterns = [text.lower() for text in allow if _network(text) is None]

    def check(self, host: str) -> str:
        """Return a host in its one way of writing; raises :class:`wherry.errors.UsageError`."""
        parts = parsed(host, field="host")
        name = (parts.hostname or "").lower()
        if parts.scheme != self._scheme:
            raise UsageError(f"host: {host!r} must be {self._scheme}://…, as this node is")
        if not self._allows(name):
            raise UsageError(f"host: {host!r} is not among the hosts that a node may have")
        return origin(parts)

    def _allows(self, name: str) -> bool:
        address = _address(name)
        if self._networks or self._patterns:
            if address is not None:
                return any(address in network for network in self._networks) or (
                    name in self._patterns
                )
            return any(fnmatchcase(name.rstrip("."), pattern) for pattern in self._patterns)
        if _is_loopback(name):
            return self._loopback
        if address is None:
            return True
        mapped = getattr(address, "ipv4_mapped", None) or address
        return not (
            mapped.is_link_local
            or mapped.is_multicast
            or mapped.is_unspecified
            or (mapped.is_loopback and not self._loopback)
        )


def _address(name: str) -> _Address | None:
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    if address is not None:
        return address.is_loopback
    return name.rstrip(".").lower() == "localhost"
