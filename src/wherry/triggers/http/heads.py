"""What the headers of a call say, and those of its answer."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wherry.errors import UsageError
from wherry.functions.quantities import parse_seconds
from wherry.models import Exit, new_id

if TYPE_CHECKING:
    from starlette.types import Scope

    from wherry.functions.model import Deployed

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", re.ASCII)
_LIVE = ("text/event-stream", "application/x-ndjson")
_TRUE = frozenset({b"1", b"true", b"yes"})


class Wants(NamedTuple):
    """What a caller asks of an answer."""

    live: str | None
    """The kind of live answer that is asked for."""
    stderr: bool
    """Whether the answer to a failure is to end in the tail of stderr (``X-Stderr: 1``)."""


@dataclass(slots=True)
class Head:
    """The headers that every answer of a call has."""

    began: float
    """Unix time, seconds."""
    id: str = ""

    def headers(self, content: str, *, ended: Exit | None = None) -> list[tuple[bytes, bytes]]:
        """Return the headers of an answer, as ASGI has them."""
        found = [(b"content-type", content.encode("latin-1"))]
        found += [(name.lower().encode(), value.encode()) for name, value in self.texts(ended)]
        found.append((b"x-content-type-options", b"nosniff"))
        return found

    def texts(self, ended: Exit | None = None) -> list[tuple[str, str]]:
        """Return what is said of the call itself."""
        found = [
            ("X-Start-Time", str(int(self.began * 1e9))),
            ("X-Duration-Seconds", f"{time.time() - self.began:.6f}"),
        ]
        if self.id:
            found.append(("X-Call-Id", self.id))
        if ended is not None and not ended.ok:
            if ended.code is not None:
                found.append(("X-Exit-Code", str(ended.code)))
            if ended.reason != "exited":
                found.append(("X-Exit-Reason", ended.reason))
        return found


def call_id(scope: Scope) -> str:
    """Return the caller's ``X-Call-Id``, or a fresh one; raises :class:`UsageError`."""
    given = header(scope, b"x-call-id")
    if given is None:
        return new_id()
    text = given.decode("latin-1")
    if not _ID.fullmatch(text):
        raise UsageError(
            f"X-Call-Id: {text!r:.150} is no id; write at most 128 letters, digits, '.', '_', "
            "':' and '-', the first a letter or digit"
        )
    return text


def timeout_asked(scope: Scope) -> float | None:
    """Return the seconds of ``X-Timeout``: ``2s``, ``1m30s``, ``500ms`` or plain seconds."""
    given = header(scope, b"x-timeout")
    if given is None:
        return None
    seconds = parse_seconds(given.decode("latin-1").strip(), field="X-Timeout")
    if seconds <= 0:
        raise UsageError("X-Timeout: it leaves no time; write how long the call may take")
    return seconds


def wants(scope: Scope) -> Wants:
    """Return what the caller asks of the answer."""
    accept = (header(scope, b"accept") or b"").decode("latin-1").lower()
    kinds = [part.partition(";")[0].strip() for part in accept.split(",")]
    live = next((kind for kind in kinds if kind in _LIVE), None)
    return Wants(live, (header(scope, b"x-stderr") or b"").lower() in _TRUE)


def media_type(deployed: Deployed, scope: Scope, *, data: bytes) -> str:
    """Return the type of an answer: what the function says, what was asked for, or what it is.

    A function says it in the variable ``content_type``, as OpenFaaS's watchdog reads it.
    """
    said = (deployed.deployment.env_vars or {}).get("content_type", "")
    if said and said.isascii() and said.isprintable():
        return said
    if (live := wants(scope).live) is not None:
        return live
    return "text/plain; charset=utf-8" if is_text(data) else "application/octet-stream"


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8, but for a character that is cut at the end."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data" and error.end == len(data)
    return b"\0" not in data


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first value of a header."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None
