"""The gate: a static program that waits in a ready container, and becomes what is called.

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
    argv: Sequence[str], env: Mapping[str, str], *, has_stdin: bool | None = None
) -> bytes:
    """Return a call as the gate reads it; raises UsageError when it is larger than it takes.

    ``has_stdin`` is for a gate that reads its call from stdin: whether input follows.
    """
    words = [*argv, *(f"{name}={value}" for name, value in env.items())]
    body = b"".join(os.fsencode(word) + b"\0" for word in words)
    if len(body) > _MOST or len(words) > _WORDS:
        raise UsageError(
            f"arguments and environment are {len(body)} bytes in {len(words)} words; "
            f"at most {_MOST} bytes in {_WORDS} words can be passed"
        )
    counts = [len(argv), len(env)]
    if has_stdin is not None:
        counts.append(not has_stdin)
    return struct.pack(f"<{len(counts) + 1}I", len(body) + 4 * len(counts), *counts) + body
