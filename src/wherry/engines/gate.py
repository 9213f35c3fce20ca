"""The gate: a static program that waits in a ready container, and executes what is called.

It is compiled when wherry is installed, where a C compiler is found. The protocol is described
in ``gate.c``.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

from wherry.errors import UsageError

GATE = Path(__file__).parent / "local" / "native" / "gate"
_MOST = 4 << 20
_WORDS = 64 << 10


def has_gate() -> bool:
    """Whether the gate was compiled."""
    return os.access(GATE, os.X_OK)


def call_frame(
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    has_stdin: bool = True,
    secret: bytes | None = None,
) -> bytes:
    """Return a call as the gate reads it; raises UsageError when it is larger than it takes.

    ``secret`` is for a gate that is an init and reads its call from stdin: 16 bytes, by which
    its last words are known. ``has_stdin`` tells that one whether input follows.
    """
    words = [*argv, *(f"{name}={value}" for name, value in env.items())]
    body = b"".join(os.fsencode(word) + b"\0" for word in words)
    if len(body) > _MOST or len(words) > _WORDS:
        raise UsageError(
            f"arguments and environment are {len(body)} bytes in {len(words)} words; "
            f"at most {_MOST} bytes in {_WORDS} words can be passed"
        )
    head = struct.pack("<2I", len(argv), len(env))
    if secret is not None:
        head += struct.pack("<I16s", not has_stdin, secret)
    return struct.pack("<I", len(head) + len(body)) + head + body
