"""What the gate says at the end of stdout and of stderr: how the program ended.

The gate (see ``gate.c``) is the init of a ready container. When the program has ended, and
everything else in the container with it, the same last words are written to both streams: a
byte that is in no UTF-8 text, a secret that only the gate and we know, and the ending. So they
cannot be the program's own, and nothing comes after them.

Words may arrive in pieces. Bytes that may be their beginning are held; :meth:`LastWords.release`
gives them on when nothing follows, because a program that wrote them itself may wait for an
answer. Should they turn out to be the last words after all, that is an error: bytes that the
program never wrote have been given to somebody.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from wherry.errors import EngineError
from wherry.models import Output, StreamName

SECRET_BYTES = 16
_FIRST = b"\xc1"
_LENGTH = len(_FIRST) + SECRET_BYTES + 3
_KINDS: dict[int, Literal["exit", "errno"]] = {ord("X"): "exit", ord("E"): "errno"}


def new_secret() -> bytes:
    """Return what the last words of one call are known by."""
    return os.urandom(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of the program."""

    kind: Literal["exit", "errno"]
    """It ended with an exit code, or could not be executed."""
    value: int
    """The exit code, or the errno."""


class LastWords:
    """Takes the output of both streams, and keeps the last words back."""

    def __init__(self, secret: bytes) -> None:
        self._streams: dict[StreamName, _Stream] = {
            name: _Stream(_FIRST + secret) for name in ("stdout", "stderr")
        }

    def take(self, output: Output) -> Output | None:
        """Return what of it is certainly the program's; raises EngineError for broken words."""
        given = self._streams[output.stream].take(output.data)
        if given == output.data:
            return output
        return Output(output.stream, given) if given else None

    @property
    def holds(self) -> bool:
        """Whether anything is held that :meth:`release` would give on."""
        return any(stream.held for stream in self._streams.values())

    def release(self) -> Iterator[Output]:
        """Yield what is held: nothing has followed it."""
        for name, stream in self._streams.items():
            if given := stream.release():
                yield Output(name, given)

    @property
    def ending(self) -> Ending | None:
        """What both streams ended with; None until then. Raises EngineError for two endings."""
        said = [stream.said for stream in self._streams.values()]
        if None in said:
            return None
        if said[0] != said[1]:
            raise EngineError(f"the gate told two endings of one program: {said!r}")
        return _parse(said[0] or b"")


class _Stream:
    def __init__(self, beginning: bytes) -> None:
        self._beginning = beginning
        self._tail = b""
        """What may be the beginning of the last words."""
        self._released = 0
        """Bytes of it that were given on."""
        self.said: bytes | None = None

    @property
    def held(self) -> bool:
        return self.said is None and len(self._tail) > self._released

    def take(self, data: bytes) -> bytes:
        if self.said is not None:
            raise EngineError("the engine sent output after the end of the program")
        if self._tail:
            data = self._tail + data
        start = self._start(data)
        given = data[self._released : start]
        if start < self._released and len(data) - start >= len(self._beginning):
            raise EngineError("the engine delayed the end of a program's output until it was lost")
        self._released = max(0, self._released - start)
        self._tail = data[start:]
        if len(self._tail) >= _LENGTH:
            self._finish()
        return given

    def release(self) -> bytes:
        given = b"" if self.said is not None else self._tail[self._released :]
        self._released = len(self._tail)
        return given

    def _start(self, data: bytes) -> int:
        """Return where the last words begin, or may begin; the end of the data if nowhere."""
        found = data.find(self._beginning)
        if found >= 0:
            return found
        at = max(0, len(data) - len(self._beginning) + 1)
        while (at := data.find(_FIRST, at)) >= 0:
            if self._beginning.startswith(data[at:]):
                return at
            at += 1
        return len(data)

    def _finish(self) -> None:
        said = self._tail[len(self._beginning) :]
        if len(self._tail) > _LENGTH:
            raise EngineError("the engine sent output after the end of the program")
        self._tail, self.said = b"", said


def _parse(said: bytes) -> Ending:
    kind = _KINDS.get(said[0])
    if kind is None:
        raise EngineError(f"the gate told an ending that nobody knows: {said!r}")
    return Ending(kind, int.from_bytes(said[1:], "little"))


def without(words: LastWords | None, outputs: Iterable[Output]) -> Iterator[Output]:
    """Yield outputs without the last words."""
    for output in outputs:
        if (kept := output if words is None else words.take(output)) is not None:
            yield kept
