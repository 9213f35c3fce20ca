"""Streams of JSON objects, one to a line: pulls, events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from wherry.errors import EngineError

_LONGEST = 1024 * 1024


async def json_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yield each object, however the bytes are cut; raises EngineError for anything else."""
    pending = b""
    async for chunk in chunks:
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield _object(line)
        if len(pending) > _LONGEST:
            raise EngineError(f"the engine sent a line longer than {_LONGEST} bytes")
    if pending.strip():
        yield _object(pending)


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise EngineError(f"the engine sent what is no JSON: {line[:200]!r}") from error
    if not isinstance(value, dict):
        raise EngineError(f"the engine sent what is no JSON object: {line[:200]!r}")
    return value
