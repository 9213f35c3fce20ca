"""A parsed request as an ASGI scope, and the answers to what is none."""

from __future__ import annotations

import asyncio
import socket
import urllib.parse
from typing import Any, NamedTuple

import httptools

Headers = list[tuple[bytes, bytes]]

_REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Peers(NamedTuple):
    """Both ends of a connection."""

    server: tuple[str, int | None] | None = None
    """The path and None for a unix socket."""
    client: tuple[str, int] | None = None
    secure: bool = False


def peers_of(transport: asyncio.Transport, *, secure: bool) -> Peers:
    """Return who speaks with whom."""
    own, other = (transport.get_extra_info(name) for name in ("sockname", "peername"))
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return Peers((str(own), None), None, secure)
    client = (str(other[0]), int(other[1])) if other else None  # None: it has left already
    return Peers((str(own[0]), int(own[1])), client, secure)


def scope_of(
    url: bytes, *, headers: Headers, method: bytes, version: str, peers: Peers
) -> dict[str, Any]:
    """Return the scope of a request; raises :class:`httptools.HttpParserError` for its target."""
    target = httptools.parse_url(url)
    raw = target.path or b"/"
    path = raw.decode("ascii", "surrogateescape")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": version,
        "server": peers.server,
        "client": peers.client,
        "scheme": "https" if peers.secure else "http",
        "root_path": "",
        "method": method.decode("ascii"),
        "path": urllib.parse.unquote(path) if "%" in path else path,
        "raw_path": raw,
        "query_string": target.query or b"",
        "headers": headers,
        "state": {},
    }


def request_of(scope: dict[str, Any], *, url: bytes, headers: Headers) -> bytes:
    """Return a request's head as it could have come."""
    lines = [b"%s %s HTTP/%s" % (scope["method"].encode(), url, scope["http_version"].encode())]
    lines += [b"%s: %s" % header for header in headers]
    return b"\r\n".join([*lines, b"", b""])


def refusal(status: int, why: str) -> bytes:
    """Return the whole answer to what is no request that could be handed on."""
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(why) + 1}\r\nconnection: close\r\n\r\n{why}\n"
    ).encode()
