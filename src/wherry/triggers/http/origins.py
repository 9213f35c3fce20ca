"""Which web pages may ask: keep those of other sites from using a browser's place or password.

Two attacks need no mistake of the user's. A page of another site can make the browser send a
request here, with the password that it remembers, or from loopback where no password is asked
for. And a name that its owner points to 127.0.0.1 makes such a page one of "this" site. Against
the first, a browser says where a page is from (``Sec-Fetch-Site``, else ``Origin``); against
the second, every request says under which name it looked for us (``Host``). Programs that are no
browsers send neither of the first two, and are believed.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wherry.triggers.http.errors import Refused

if TYPE_CHECKING:
    from starlette.types import Scope

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, where the path is not that of a function."""
_OURS = frozenset({"same-origin", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """Whose pages are trusted besides our own."""

    hosts: frozenset[str] = frozenset()
    """Names that this server is known by, in lower case, without a port."""
    origins: frozenset[str] = frozenset()
    """Origins such as ``https://ops.example.org`` whose pages may do what their user may."""

    def check_host(self, scope: Scope) -> None:
        """Raise :class:`Refused` for a name that is not known to be ours.

        An address is no name, so nobody can have pointed it here.
        """
        host = self._host(scope)
        name = _without_port(host)
        if host and not (_local(name) or name in self.hosts):
            raise Refused(
                421,
                f"this server is not known as {name!r}; without auth it answers to localhost, "
                "to addresses, and to names given by --allow-host",
            )

    def check_page(self, scope: Scope) -> None:
        """Raise :class:`Refused` for a request that a page of another site makes."""
        origin = _one(scope, b"origin")
        if origin and origin.lower() in self.origins:
            return
        site = _one(scope, b"sec-fetch-site")
        if site:
            foreign = site.lower() not in _OURS
        else:
            foreign = bool(origin) and not self._same(scope, origin)
        # A websocket handshake says its origin, and is no same-origin fetch to older browsers.
        if foreign:
            whose = f"a page of {origin!r}" if origin else "a page of another site"
            raise Refused(403, f"{whose} may not do this here; --allow-origin lets it")

    def _same(self, scope: Scope, origin: str) -> bool:
        # Not the scheme: it is another one behind a proxy that ends TLS.
        return urlsplit(origin.lower()).netloc == self._host(scope).lower() != ""

    def _host(self, scope: Scope) -> str:
        return _one(scope, b"host")


def _one(scope: Scope, name: bytes) -> str:
    values = [value for key, value in scope["headers"] if key == name]
    if len(values) > 1:
        raise Refused(400, f"{name.decode()}: it came {len(values)} times; once is right")
    return values[0].decode("latin-1").strip() if values else ""


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower().removesuffix(".")


def _local(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
