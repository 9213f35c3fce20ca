"""The framing of attached streams and logs: which bytes are stdout, and which stderr.

A frame is 1 byte of stream id (1 stdout, 2 stderr, 0 stdin, 3 an error of the engine), 3 zero
bytes, 4 bytes of big-endian length, and as many bytes of data
(https://docs.docker.com/reference/api/engine/, "Attach to a container").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from wherry.errors import EngineError
from wherry.models import Output, StreamName

_HEADER = struct.Struct(">B3xL")
_SYSTEM_ERROR = 3
_STREAMS: dict[int, StreamName] = {0: "stdout", 1: "stdout", 2: "stderr"}
_ERROR_BYTES = 4096


class Frames:
    """Takes bytes however they are cut, and gives them on at once: no frame is ever held."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._stream: StreamName | None = None
        self._left = 0
        self._error: bytearray | None = None

    def feed(self, data: bytes) -> Iterator[Output]:
        """Yield what the bytes hold; raises EngineError for an error frame, or for no frames.

        Frames of one stream that follow each other are one output: logs have one for each line.
        """
        stream: StreamName | None = None
        parts: list[memoryview] = []
        failure: EngineError | None = None
        try:
            for name, part in self._parts(memoryview(data)):
                if stream is not None and name != stream:
                    yield Output(stream, b"".join(parts))
                    parts.clear()
                stream = name
                parts.append(part)
        except EngineError as error:
            failure = error  # what came before it counts
        if stream is not None:
            yield Output(stream, b"".join(parts))
        if failure is not None:
            raise failure

    def finish(self) -> None:
        """Raise EngineError unless the stream may end here: between two frames."""
        if self._header or self._left or self._error is not None:
            raise EngineError(
                "the engine's output stream was cut inside a frame "
                f"({self._left or _HEADER.size - len(self._header)} more bytes were announced)"
            )

    def _parts(self, view: memoryview) -> Iterator[tuple[StreamName, memoryview]]:
        while view:
            if not self._left:
                view = self._read_header(view)
            part, view = view[: self._left], view[self._left :]
            self._left -= len(part)
            if self._error is not None:
                self._read_error(part)
            elif part and self._stream:
                yield self._stream, part

    def _read_header(self, view: memoryview) -> memoryview:
        if not self._header and len(view) >= _HEADER.size:
            self._begin(bytes(view[: _HEADER.size]))
            return view[_HEADER.size :]
        missing = _HEADER.size - len(self._header)
        self._header += view[:missing]
        if len(self._header) == _HEADER.size:
            self._begin(bytes(self._header))
            self._header.clear()
        return view[missing:]

    def _begin(self, header: bytes) -> None:
        kind, self._left = _HEADER.unpack(header)
        if header[1:4] != b"\0\0\0" or kind not in (*_STREAMS, _SYSTEM_ERROR):
            raise EngineError(f"the engine's output stream is not framed: {header!r}")
        self._stream = _STREAMS.get(kind)
        if kind == _SYSTEM_ERROR:
            self._error = bytearray()
            self._read_error(memoryview(b""))

    def _read_error(self, part: memoryview) -> None:
        assert self._error is not None
        self._error += part[: _ERROR_BYTES - len(self._error)]
        if not self._left or len(self._error) >= _ERROR_BYTES:
            words = self._error.decode(errors="replace").strip()
            raise EngineError(f"the engine's output stream failed: {words}")
