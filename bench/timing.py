"""Timing one whole process, and refusing the time of one that did not do its job."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence


class WrongAnswer(Exception):
    """What was measured did not do what it was measured for."""


def process_ms(
    command: Sequence[str],
    *,
    input: bytes = b"",  # noqa: A002 - as subprocess.run names it
    expect: bytes | None = None,
    env: Mapping[str, str] | None = None,
) -> float:
    """Run a command and return the milliseconds from its start to the end of its output."""
    began = time.perf_counter()
    done = subprocess.run(command, input=input, capture_output=True, check=False, env=env)
    took = time.perf_counter() - began
    if done.returncode != 0 or (expect is not None and done.stdout != expect):
        raise WrongAnswer(
            f"{' '.join(command)!r} ended with {done.returncode}: "
            f"{done.stdout[:200]!r} {done.stderr.decode(errors='replace').strip()[-500:]}"
        )
    return took * 1000


def check(answer: object, expect: object) -> None:
    """Raise :class:`WrongAnswer` unless the answer is what it must be."""
    if answer != expect:
        raise WrongAnswer(f"got {answer!r:.200} instead of {expect!r:.200}")
