"""The request as a CGI program sees it: its meta-variables.

RFC 3875, section 4.1: https://www.rfc-editor.org/rfc/rfc3875#section-4.1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from wherry._version import __version__
from wherry.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import Scope

SOFTWARE = f"wherry/{__version__}"
_ONLY_ONCE = frozenset({b"content-type", b"content-length", b"transfer-encoding"})
"""Headers that have a variable of their own, or are about this connection alone."""
_PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2.0", "3": "HTTP/3.0"}
_CALLER = "wherry.caller"
"""Where the gateway's guard says who asks; ``user`` is where Starlette's does."""
_SCHEME = "wherry.scheme"
"""Where it says how, once it has taken the login out of the headers."""


def _no_env() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class CgiOptions:
    """What a program is told besides its request; later ones win: request, ours, its own."""

    inherit: tuple[str, ...] = ()
    """Names of variables of this process that are handed on, where they are set."""
    env: Mapping[str, str] = field(default_factory=_no_env)
    """Variables that the route sets."""
    max_body: int = 1024 * 1024 * 1024
    """Bytes of a request's body whose length is not told beforehand, which is stored first."""


def path_info(path: str, root: str) -> str | None:
    """Return what follows the root; None for a path that is not below it.

    ``/vote`` is the root of ``/vote`` and ``/vote/1``, and not of ``/voters``.
    """
    root = root.rstrip("/")
    if path == root or path.startswith(f"{root}/"):
        return path[len(root) :]
    return None


def meta_variables(scope: Scope, *, root: str, length: int | None) -> dict[str, str]:
    """Return the variables of one request to the route whose root is ``root``.

    ``length`` is that of the body, None without one. Raises :class:`UsageError` for a path that
    is not below the root, and for a value with a NUL or a newline.
    """
    info = path_info(scope["path"], root)
    if info is None:
        raise UsageError(f"path {scope['path']!r} is not below {root!r}")
    headers = header_values(scope["headers"])
    query = bytes(scope.get("query_string", b"")).decode("latin-1")
    found = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": SOFTWARE,
        "SERVER_PROTOCOL": _PROTOCOLS.get(scope["http_version"], f"HTTP/{scope['http_version']}"),
        "REQUEST_METHOD": scope["method"],
        "REQUEST_URI": _uri(scope, query),
        "SCRIPT_NAME": root.rstrip("/"),
        "PATH_INFO": info,
        "QUERY_STRING": query,
        **_server(scope, headers.get("host", "")),
        **_client(scope),
    }
    if scope.get("scheme") in {"https", "wss"}:
        found["HTTPS"] = "on"
    if length is not None:
        found["CONTENT_LENGTH"] = str(length)
    if "content-type" in headers:
        found["CONTENT_TYPE"] = headers["content-type"]
    found |= _authenticated(scope, headers)
    found |= _header_variables(headers, hide_credentials="REMOTE_USER" in found)
    for name, value in found.items():
        if any(mark in value for mark in "\0\r\n"):
            raise UsageError(f"{name}: a value with a NUL or a newline cannot be handed on")
    return found


def header_values(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by lower-case name; repeated ones are joined.

    Names with an underscore are left out: they would look like another header.
    """
    found: dict[str, str] = {}
    for raw, value in headers:
        name, text = raw.lower().decode("latin-1"), value.decode("latin-1")
        if "_" not in name:
            between = "; " if name == "cookie" else ", "
            found[name] = f"{found[name]}{between}{text}" if name in found else text
    return found


def _header_variables(headers: Mapping[str, str], *, hide_credentials: bool) -> dict[str, str]:
    """Return HTTP_NAME for each header but Proxy, which programs take for their proxy's address.

    CVE-2016-5386, https://httpoxy.org
    """
    hidden = {"proxy", "authorization"} if hide_credentials else {"proxy"}
    return {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in headers.items()
        if name not in hidden and name.encode() not in _ONLY_ONCE
    }


def _uri(scope: Scope, query: str) -> str:
    raw = scope.get("raw_path")
    path = raw.decode("latin-1").partition("?")[0] if raw else _quoted(scope["path"])
    return f"{path}?{query}" if query else path


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def _server(scope: Scope, host: str) -> dict[str, str]:
    """Return the name and port that the client used, else those of the socket."""
    name, port = split_host(host)
    server: Any = scope.get("server") or ("localhost", None)
    usual = "443" if scope.get("scheme") in {"https", "wss"} else "80"
    if not name:
        name, port = server[0], str(server[1] or usual)
    return {"SERVER_NAME": name, "SERVER_PORT": port or usual}


def split_host(host: str) -> tuple[str, str]:
    """Return name and port of a Host header; an IPv6 address keeps its brackets."""
    if host.startswith("["):
        name, _, port = host.partition("]")
        return f"{name}]", port.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _client(scope: Scope) -> dict[str, str]:
    client = scope.get("client")
    if not client:
        return {"REMOTE_ADDR": "", "REMOTE_HOST": ""}
    found = {"REMOTE_ADDR": str(client[0]), "REMOTE_HOST": str(client[0])}
    return found | ({"REMOTE_PORT": str(client[1])} if client[1] else {})


def _authenticated(scope: Scope, headers: Mapping[str, str]) -> dict[str, str]:
    """Return who the caller is, where the gateway or the application around has found that out."""
    caller, user = scope.get(_CALLER), scope.get("user")
    if caller is not None and caller.name != "anybody":
        name = str(caller.name).partition(" ")[2]
    elif user is not None and getattr(user, "is_authenticated", False):
        name = str(user.display_name)
    else:
        return {}
    scheme = str(scope.get(_SCHEME) or headers.get("authorization", "").partition(" ")[0])
    found = {"REMOTE_USER": name}
    return found | ({"AUTH_TYPE": scheme.capitalize()} if scheme else {})
