"""``--json``: a call as one object on stdout, when it has ended."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

from wherry import streams
from wherry.cli import standard

if TYPE_CHECKING:
    from wherry.engines.base import Container
    from wherry.models import Exit, Function


async def report(container: Container, function: Function, *, began: float) -> Exit:
    """Collect a container's output and print what came of it."""
    found = await streams.collect(container)
    call = {
        "id": container.id,
        "name": function.name,
        "image": function.image,
        "command": list(function.command),
        "exit_code": found.exit.code,
        "reason": found.exit.reason,
        "signal": found.exit.signal,
        "duration": round(time.monotonic() - began, 6),
        **_stream("stdout", found.stdout),
        **_stream("stderr", found.stderr),
        "stderr_truncated": found.stderr_truncated,
    }
    standard.emit(json.dumps(call) + "\n")
    return found.exit


def _stream(name: str, data: bytes) -> dict[str, Any]:
    """Return a stream as text where it is UTF-8, else as base64, and which of them it is."""
    try:
        return {name: data.decode(), f"{name}_encoding": "utf-8"}
    except UnicodeDecodeError:
        return {name: base64.b64encode(data).decode(), f"{name}_encoding": "base64"}
