"""The head of an answer: made here, never passed on from the engine."""

from __future__ import annotations

import http
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.proxy.front.problems import Refusal

_NAME = re.compile(r"[A-Za-z0-9-]{1,60}")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_OURS = frozenset(
    {
        "connection", "content-length", "date", "keep-alive", "location", "proxy-authenticate",
        "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
BODILESS = frozenset({204, 304})

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def head(status: int, *lines: tuple[str, str], own: Mapping[str, str] | None = None) -> bytes:
    """Return a whole head: our ``lines``, then a handler's own.

    Raises ValueError for one of its own that is framing, or no header at all.
    """
    for name, value in (own or {}).items():
        if name.lower() in _OURS or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"header {name!r}: {value!r} must not be given by a handler")
    pairs = (*lines, *(own or {}).items())
    rows = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    return f"HTTP/1.1 {status} {_phrase(status)}\r\n{rows}\r\n".encode()


def chunk(data: bytes) -> bytes:
    """Return one chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def refusal(error: Refusal) -> bytes:
    """Return the whole answer to what was no request."""
    body = message(error.message)
    return (
        head(
            error.status,
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Connection", "close"),
        )
        + body
    )


def message(text: str) -> bytes:
    """Return an error as the engine words it."""
    return compact({"message": text})


def compact(value: object) -> bytes:
    """Return a value as JSON with a line end, as the engine writes it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
