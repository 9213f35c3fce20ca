"""A program's events as lines of JSON, pulled by whoever reads the answer."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from wherry.errors import WherryError
from wherry.models import Exit

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from wherry.models import Output


_PART = 10_000
"""Characters in one line, each of which JSON writes as six bytes at most: readers of lines, such as
Go's Scanner and asyncio's StreamReader, take 64 KiB."""


class Lines:
    """An answer's body; :meth:`aclose` it, also when it was never read.

    First a line that says what it is; then ``{"stream", "data"}`` for what was written; last
    ``{"exit_code", "reason"}``, or ``{"error"}`` when nobody knows how it ended. Logs have no end
    of their own. ``data`` is text: bytes that are no UTF-8 become U+FFFD. No line of it is longer
    than 64 KiB.
    """

    def __init__(
        self,
        events: AsyncIterator[Output | Exit] | AsyncIterator[Output],
        stack: AsyncExitStack,
        *,
        first: Mapping[str, Any],
        seconds: float | None,
        told: Callable[[WherryError], str],
    ) -> None:
        """``stack`` is what ends the program; ``seconds`` is how long it may take from now on."""
        loop = asyncio.get_running_loop()
        self._deadline = None if seconds is None else loop.time() + seconds
        self._lines = self._all(events, first)
        self._stack = stack
        self._told = told
        self._decoders = {
            name: codecs.getincrementaldecoder("utf-8")("replace") for name in ("stdout", "stderr")
        }

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._lines)

    async def aclose(self) -> None:
        """End what still runs. Idempotent."""
        try:
            await self._lines.aclose()
        finally:
            await self._stack.aclose()

    async def _all(
        self, events: AsyncIterator[Any], first: Mapping[str, Any]
    ) -> AsyncGenerator[bytes]:
        yield _line(first)
        try:
            while (event := await self._next(events)) is not None:
                if isinstance(event, Exit):
                    for line in self._rest():
                        yield line
                    yield _line({"exit_code": event.code, "reason": event.reason})
                    return
                text = self._decoders[event.stream].decode(event.data)
                for begin in range(0, len(text), _PART):
                    part = text[begin : begin + _PART]
                    yield _line({"stream": event.stream, "data": part})
            for line in self._rest():
                yield line
        except TimeoutError:
            yield _line({"exit_code": None, "reason": "timeout"})
        except WherryError as error:
            yield _line({"error": self._told(error)})

    async def _next(self, events: AsyncIterator[Any]) -> Any:  # noqa: ANN401 - an event, or None
        async with asyncio.timeout_at(self._deadline):
            return await anext(events, None)

    def _rest(self) -> list[bytes]:
        """Return what was half a character when its stream ended."""
        texts = {name: decoder.decode(b"", final=True) for name, decoder in self._decoders.items()}
        return [_line({"stream": name, "data": text}) for name, text in texts.items() if text]


def _line(value: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"
