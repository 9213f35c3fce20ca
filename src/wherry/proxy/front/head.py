"""The head of a request, read byte by byte as strictly as RFC 9112 allows, and stricter.

Two parsers have to agree on every head: the rules here, and h11. What other servers are known to
read in another way is refused, even where the RFC would let it pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import h11

from wherry.proxy.front.problems import Refusal

END: Final = b"\r\n\r\n"
_NEVER = re.compile(rb"[^\t\r\n\x20-\x7e]|(?<!\r)\n|\r(?=[^\n])", re.DOTALL)
_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) (/[\x21\x22\x24-\x7e]*) HTTP/1\.([01])"
)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_DIGITS = re.compile(r"[0-9]{1,18}")

_ONCE = frozenset(
    {
        "authorization", "content-encoding", "content-length", "content-type", "expect", "host",
        "origin", "sec-websocket-key", "sec-websocket-version", "te", "transfer-encoding",
        "upgrade", "user-agent", "x-registry-auth", "x-registry-config",
    }
)  # fmt: skip
"""Headers that mean different things to different readers when they come twice."""


@dataclass(frozen=True, slots=True)
class Head:
    """A head that has passed, and how its body is framed."""

    method: str
    target: bytes
    version: Literal["1.0", "1.1"]
    headers: tuple[tuple[str, str], ...]
    length: int | None
    """Bytes of the body; None when it comes in chunks."""
    expects: bool
    """Whether the client waits for ``100 Continue``."""
    keeps: bool
    """Whether the client may ask again on this connection."""
    upgrade: Literal["", "tcp", "websocket"]


def refuse(message: str, *, status: int = 400) -> Refusal:
    """Return a refusal after which nothing on the connection can be trusted."""
    return Refusal(status, message, close=True)


def check_bytes(held: bytearray, start: int, *, end: int) -> None:
    """Refuse what no head holds, as soon as it is there: control characters, bare line ends.

    Looks from ``start`` to ``end``, and at the byte before, which may be half a line end.
    """
    if found := _NEVER.search(held, max(start - 1, 0), end):
        raise refuse(f"byte {found.start()} of the head, {found[0]!r}, is none of a request's")


def parse(raw: bytes, *, most_headers: int) -> Head:
    """Read a whole head, with the empty line that ends it; raises Refusal (``close`` is set)."""
    line, *lines = raw[: -len(END)].split(b"\r\n")
    method, target, version = _request_line(line)
    if len(lines) > most_headers:
        raise refuse(f"more than {most_headers} headers", status=431)
    headers = tuple(_header(each) for each in lines)
    single = _singles(headers)
    if version == "1.1" and "host" not in single:
        raise refuse("header 'host' is missing")
    words = _words(headers, "connection")
    head = Head(
        method=method,
        target=target,
        version=version,
        headers=headers,
        length=_length(single, version),
        expects=_expects(single) and version == "1.1",
        keeps=version == "1.1" and "close" not in words,
        upgrade=_upgrade(single, words) if version == "1.1" else "",
    )
    _agree(raw, head)
    return head


def _request_line(line: bytes) -> tuple[str, bytes, Literal["1.0", "1.1"]]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise refuse("the request line is not METHOD /path HTTP/1.1")
    return found[1].decode(), found[2], "1.1" if found[3] == b"1" else "1.0"


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not _NAME.fullmatch(name):  # a space before the colon, a folded line
        raise refuse(f"{line[:40]!r} is no header")
    return name.decode().lower(), value.strip(b" \t").decode()


def _agree(raw: bytes, head: Head) -> None:
    """Refuse what h11 does not read in the same way."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(raw) + 1)
    try:
        parser.receive_data(raw)
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise refuse(f"this is no request: {error}") from error
    if not isinstance(event, h11.Request) or _plain(event) != (
        head.method.encode(),
        head.target,
        [(name.encode(), _value(name, value).encode()) for name, value in head.headers],
    ):
        raise refuse("the head can be read in two ways")


def _plain(event: h11.Request) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    return event.method, event.target, [(name, value) for name, value in event.headers]


def _value(name: str, value: str) -> str:
    return value.lower() if name == "transfer-encoding" else value  # as h11 gives it


def _singles(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        if name in _ONCE and name in found:
            raise refuse(f"header {name!r} came twice")
        found[name] = value
    return found


def _words(headers: tuple[tuple[str, str], ...], name: str) -> set[str]:
    values = [value for key, value in headers if key == name]
    return {word.strip().lower() for value in values for word in value.split(",")}


def _length(single: dict[str, str], version: str) -> int | None:
    coding, length = single.get("transfer-encoding"), single.get("content-length")
    if coding is not None:
        if length is not None:
            raise refuse("content-length and transfer-encoding exclude each other")
        if coding.lower() != "chunked" or version == "1.0":
            raise refuse(f"transfer-encoding {coding!r} must be 'chunked', and the version 1.1")
        return None
    if length is None:
        return 0
    if not _DIGITS.fullmatch(length):
        raise refuse(f"content-length {length!r} is no number of bytes")
    return int(length)


def _expects(single: dict[str, str]) -> bool:
    expected = single.get("expect")
    if expected is None:
        return False
    if expected.lower() != "100-continue":
        raise refuse(f"expect {expected!r} must be '100-continue'", status=417)
    return True


def _upgrade(single: dict[str, str], words: set[str]) -> Literal["", "tcp", "websocket"]:
    wanted = single.get("upgrade")
    if "http2-settings" in single:
        raise refuse("HTTP/2 is not spoken here")
    if wanted is None:
        return ""
    match wanted.lower():
        case "tcp" | "websocket" as known if "upgrade" in words:
            return known
        case "tcp" | "websocket":
            return ""
    raise refuse(f"upgrade {wanted!r} must be 'tcp' or 'websocket'")
