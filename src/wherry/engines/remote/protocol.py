"""What is said between this engine and a server, once HTTP has brought them together.

``POST /wherry/v1/call`` with a body in chunks, answered while it is still being sent: frames in
both directions, each a byte for its kind, four for its length, and so many of payload. Whatever
the server knows of the call by then, the answer's head says that it has heard of it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast, get_args

from wherry import errors
from wherry.errors import EngineError, UsageError, WherryError
from wherry.models import Exit, ExitReason

ROOT = "/wherry/v1/"
MEDIA = "application/vnd.wherry.call"
FRAME_BYTES = 16 * 1024 * 1024
"""The largest frame that is taken: that of a call, with the files that go into its container."""
Kind = Literal[b"C", b"I", b"E", b"S", b"O", b"R", b"Q", b"D", b"F", b"P"]
CALL: Kind = b"C"
"""First, to the server: the invocation."""
INPUT: Kind = b"I"
END: Kind = b"E"
"""The half-close of stdin."""
STARTED: Kind = b"S"
STDOUT: Kind = b"O"
STDERR: Kind = b"R"
EXIT: Kind = b"Q"
DONE: Kind = b"D"
"""Last: nothing of the container is left, or about to be."""
FAILED: Kind = b"F"
"""Last, in place of the exit: why there is none."""
PING: Kind = b"P"
"""Nothing: sent now and then, because only who sends hears that a process at the other end is gone.
Its farewell may wait for ever behind input that nobody reads."""
_HEAD = struct.Struct(">cI")
_ERRORS: Mapping[str, type[WherryError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, WherryError) and name != "FunctionError"
}


class Garbled(Exception):
    """What came are no frames."""


def frame(kind: Kind, data: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    return _HEAD.pack(kind, len(data)) + data


class Frames:
    """Takes bytes as they come, and has the frames that are complete."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield kind and payload of what is complete now. Raises Garbled."""
        self._waiting += data
        while len(self._waiting) >= _HEAD.size:
            kind, size = _HEAD.unpack_from(self._waiting)
            if size > FRAME_BYTES or kind not in _KINDS:
                raise Garbled(f"a frame {kind!r} of {size} bytes")
            if len(self._waiting) < _HEAD.size + size:
                return
            payload = bytes(self._waiting[_HEAD.size : _HEAD.size + size])
            del self._waiting[: _HEAD.size + size]
            yield kind, payload


_KINDS = frozenset(get_args(Kind))


def write_exit(ended: Exit) -> bytes:
    """Return the payload of an exit."""
    return json.dumps({"code": ended.code, "reason": ended.reason}).encode()


def read_exit(data: bytes) -> Exit:
    """Read the payload of an exit. Raises Garbled."""
    try:
        told = json.loads(data)
        code, reason = told["code"], told["reason"]
    except (ValueError, KeyError, TypeError) as error:
        raise Garbled(f"an exit that is none: {data[:80]!r}") from error
    if reason not in get_args(ExitReason) or not (code is None or type(code) is int):
        raise Garbled(f"an exit that is none: {data[:80]!r}")
    return Exit(code, cast("ExitReason", reason))


def write_error(error: WherryError) -> dict[str, str]:
    """Return an error as JSON: the nearest of its kinds that both sides know, and its words."""
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _ERRORS)
    return {"type": name, "error": str(error)}


def read_error(data: bytes, *, where: str) -> WherryError:
    """Return the error that was told; ``where`` is said before its words."""
    told: Any = None
    try:
        told = json.loads(data)
        kind, words = _ERRORS[told["type"]], str(told["error"])
    except (ValueError, KeyError, TypeError):
        words = str(told.get("error", told)) if isinstance(told, dict) else repr(data[:200])
        return EngineError(f"{where}: {words}")
    return kind(words if issubclass(kind, UsageError) else f"{where}: {words}")
