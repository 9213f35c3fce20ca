"""What may be spoken to how: plain HTTP, proxies, and the certificates a host is known by."""

from __future__ import annotations

import base64
import ipaddress
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from wherry.errors import ImageError, RegistryError


class Proxy(NamedTuple):
    """A proxy's URL without its password, and the header that carries it."""

    url: str
    headers: dict[str, str]


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine, without asking a name server."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(netloc: str) -> str:
    """Return the host of ``host[:port]``, an IPv6 address without its brackets."""
    return urlsplit(f"//{netloc}").hostname or ""


def is_named(netloc: str, names: Iterable[str]) -> bool:
    """Whether ``host[:port]`` is one of the names; a name without a port means every port."""
    host = host_of(netloc)
    bracketed = f"[{host}]" if ":" in host else host
    return any(name.lower() in {netloc.lower(), host, bracketed} for name in names)


def check_plain_http(url: str, *, named: Iterable[str], origin: str) -> None:
    """Refuse ``http`` but for registries named insecure, and loopback when ``origin`` is too.

    ``origin`` is the URL that led here: a registry elsewhere has no business to send us to
    services of this machine. Raises RegistryError.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_named(parts.netloc, named)):
        return
    if parts.scheme != "http" or not parts.hostname:
        raise RegistryError(f"{urlsplit(origin).netloc} leads to {url!r}, which is no https URL")
    if is_loopback(parts.hostname) and is_loopback(urlsplit(origin).hostname or ""):
        return
    raise RegistryError(
        f"{parts.netloc} would be spoken to in plain HTTP; "
        "name it as an insecure registry if that is what you want"
    )


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that the environment names for a URL; never one for loopback.

    Reads ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` in either case.
    """
    parts = urlsplit(url)
    if not parts.hostname or is_loopback(parts.hostname):
        return None
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxy = urlsplit(address if "://" in address else f"http://{address}")
    if proxy.scheme not in {"http", "https"}:
        raise RegistryError(f"the proxy {proxy.scheme}://{proxy.hostname} is not an HTTP proxy")
    clean = f"{proxy.scheme}://{proxy.netloc.rpartition('@')[2]}"
    if proxy.username is None:
        return Proxy(clean, {})
    secret = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    basic = base64.b64encode(secret.encode()).decode()
    return Proxy(clean, {"Proxy-Authorization": f"Basic {basic}"})


def tls_context(netloc: str, directories: Iterable[Path]) -> ssl.SSLContext:
    """Return how a host is verified: the system's CAs and ``DIRECTORY/HOST[:PORT]/*.crt``.

    OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` itself. Reads files: call it in a
    thread. Raises ImageError for a file that holds no certificate.
    """
    context = ssl.create_default_context()
    if not netloc or "/" in netloc or netloc.startswith("."):
        return context
    for directory in directories:
        for file in sorted((directory / netloc).glob("*.crt")):
            try:
                context.load_verify_locations(cafile=file)
            except (OSError, ssl.SSLError) as error:
                raise ImageError(f"the certificate {file} cannot be used: {error}") from error
    return context
