"""Streams of JSON objects one after the other: events, progress."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Any

from wherry.errors import EngineError

OBJECT_LIMIT = 4 * 1024 * 1024
"""Bytes of one object that are taken at most; the objects after a larger one are."""

_BETWEEN = b" \t\r\n\x1e"  # the last begins each object of application/json-seq
_IN_LIST = _BETWEEN + b"[],"
_MARK = re.compile(rb'[{}\[\]"]')
_STRING_MARK = re.compile(rb'["\\]')


async def json_objects(
    chunks: AsyncIterable[bytes], *, in_list: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """Yield each object as soon as it is complete, however the bytes are cut.

    Objects may follow each other with or without line ends, and may hold line ends; ``in_list``:
    they are those of one JSON array. One of more than 4 MiB is left out: an engine tells everybody
    what a single tenant has made large. Raises EngineError for what is no object, or is cut by the
    end.
    """
    decoder = Decoder(in_list=in_list)
    async for chunk in chunks:
        for found in decoder.feed(chunk):
            yield found
    decoder.close()


class Decoder:
    """Cuts a stream of bytes into JSON objects; looks at each byte once."""

    def __init__(self, *, in_list: bool = False) -> None:
        self._between = _IN_LIST if in_list else _BETWEEN
        self._held = bytearray()
        self._looked = 0
        self._depth = 0
        self._in_string = False
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """Yield the objects that are complete now; raises EngineError."""
        self._held += data
        while (end := self._end()) is not None:
            piece = bytes(self._held[:end])
            del self._held[:end]
            self._looked = 0
            if self._skipping or end > OBJECT_LIMIT:
                self._skipping = False
            else:
                yield _object(piece)
        self._skipping = self._skipping or len(self._held) > OBJECT_LIMIT
        if self._skipping:
            del self._held[: self._looked]
            self._looked = 0

    def close(self) -> None:
        """Say that no more comes; raises EngineError in the middle of an object."""
        if self._skipping or self._held.strip(self._between):
            raise EngineError("the engine's stream ended in the middle of an object")

    def _end(self) -> int | None:
        """Return where the first object ends, None when it is not complete."""
        if self._depth == 0 and not self._begin():
            return None
        while True:
            marks = _STRING_MARK if self._in_string else _MARK
            found = marks.search(self._held, self._looked)
            if found is None:
                self._looked = len(self._held)
                return None
            if found[0] == b"\\":
                if found.end() == len(self._held):  # what it escapes has not come yet
                    self._looked = found.start()
                    return None
                self._looked = found.end() + 1
                continue
            self._looked = found.end()
            if found[0] == b'"':
                self._in_string = not self._in_string
            else:
                self._depth += 1 if found[0] in b"{[" else -1
                if self._depth == 0:
                    return self._looked

    def _begin(self) -> bool:
        """Drop what is between two objects; False when nothing has begun."""
        length = len(self._held)
        rest = self._held.lstrip(self._between)
        del self._held[: length - len(rest)]
        self._looked = 0
        if self._held and self._held[:1] != b"{":
            raise EngineError(f"the engine sent what is no JSON object: {bytes(self._held[:80])!r}")
        return bool(self._held)


def _object(piece: bytes) -> dict[str, Any]:
    try:
        value = json.loads(piece)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"the engine sent what is no JSON: {piece[:200]!r}") from error
    assert isinstance(value, dict)
    return value
