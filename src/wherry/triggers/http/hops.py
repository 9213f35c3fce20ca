"""Headers of a request and an answer on their way through a gateway, to a server and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from wherry.triggers.http.forwarding import PEER

if TYPE_CHECKING:
    from starlette.types import Scope

Headers = list[tuple[bytes, bytes]]
_BETWEEN_HOPS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
     b"upgrade", b"proxy-authenticate", b"proxy-authorization"}
)  # fmt: skip
"""https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1"""
_OURS = frozenset(
    {b"expect", b"proxy", b"x-call-id", b"x-forwarded-for", b"x-forwarded-proto",
     b"x-forwarded-host", b"x-forwarded-prefix"}
)  # fmt: skip
_CALLER = "wherry.caller"


def end_to_end(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers that are not about one connection alone."""
    found = list(headers)
    named = {
        word.strip().lower()
        for name, value in found
        if name.lower() == b"connection"
        for word in value.split(b",")
    }
    return [
        (name, value)
        for name, value in found
        if name.lower() not in _BETWEEN_HOPS and name.lower() not in named
    ]


def request_headers(scope: Scope, *, call: str, prefix: str) -> Headers:
    """Return what a server in a container is told: the caller's headers, and where they are from.

    ``prefix`` is the part of the path that the server does not see. Credentials that the gateway
    itself has checked stay here.
    """
    hidden = {b"authorization"} if _was_checked(scope) else set()
    given = [
        (name, value)
        for name, value in end_to_end(scope["headers"])
        if name not in _OURS and name not in hidden
    ]
    return [*given, *_forwarded(scope, prefix=prefix), (b"x-call-id", call.encode())]


def raw_rest(scope: Scope, rest: str) -> bytes:
    """Return the function's own path and query, with its escapes as they came."""
    from urllib.parse import quote

    path = str(scope["path"])
    root = path.removesuffix(rest) if path.endswith(rest) else path
    raw = scope.get("raw_path")
    if raw:
        parts = bytes(raw).partition(b"?")[0].split(b"/", root.count("/") + 1)
        found = b"/" + parts[-1] if len(parts) > root.count("/") + 1 else b"/"
    else:
        found = quote(rest).encode()
    query = bytes(scope.get("query_string", b""))
    return found + b"?" + query if query else found


def _forwarded(scope: Scope, *, prefix: str) -> Headers:
    client, proxy = scope.get("client"), scope.get(PEER)
    chain = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    if proxy:  # who is before it is in the chain by its own word
        chain.append(str(proxy).encode())
    elif client:
        chain.append(str(client[0]).encode())
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    scheme = "https" if scope.get("scheme") in {"https", "wss"} else "http"
    found = [
        (b"x-forwarded-for", b", ".join(chain)),
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", host),
        (b"x-forwarded-prefix", prefix.encode("latin-1", "replace")),
    ]
    return [(name, value) for name, value in found if value]


def _was_checked(scope: Scope) -> bool:
    caller = scope.get(_CALLER)
    return caller is not None and caller.name != "anybody"
