"""What the contract runs: real command lines of busybox, and their twins for the memory engine.

``argv`` is what a real busybox image runs. ``twin`` is the same behaviour as a coroutine; None
where the memory engine's own busybox knows the command line anyway.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.engines.memory.applets import busybox

if TYPE_CHECKING:
    from wherry.testing import Call
    from wherry.testing import Program as Twin

MIB = 1024 * 1024
ZEROS = bytes(16 * 1024)


@dataclass(frozen=True)
class Program:
    argv: tuple[str, ...]
    twin: Twin | None = None


def sh(script: str, twin: Twin | None = None) -> Program:
    return Program(("sh", "-c", script), twin)


async def _close_stdout_early(call: Call) -> int:
    await call.stdout.write(b"out\n")
    call.stdout.close()
    await asyncio.sleep(0.05)
    await call.stderr.write(b"err\n")
    return 4


async def _close_stderr_early(call: Call) -> int:
    await call.stderr.write(b"err\n")
    call.stderr.close()
    await asyncio.sleep(0.05)
    await call.stdout.write(b"out\n")
    return 4


async def _interleaved(call: Call) -> None:
    for _ in range(64):
        await call.stdout.write(ZEROS)
        await call.stderr.write(ZEROS)


async def _trap_term(call: Call) -> int:
    term = call.trap(signal.SIGTERM)
    await call.stdout.write(b"ready\n")
    await term.wait()
    await call.stdout.write(b"stopping\n")
    return 5


async def _too_hungry(call: Call) -> None:
    limit = call.invocation.function.limits.memory
    if limit is not None and limit < 256 * MIB:
        raise MemoryError


async def _with_children(call: Call) -> None:
    async with asyncio.TaskGroup() as children:
        for _ in range(2):
            children.create_task(asyncio.sleep(60))
        await call.stdout.write(b"started\n")


async def _child_outlives(call: Call) -> int:
    await call.stdout.write(b"done\n")
    return 6


async def _taking_turns(call: Call) -> None:
    for word in (b"one\n", b"three\n"):
        await call.stdout.write(word)
        await asyncio.sleep(0.05)
        await call.stderr.write(b"two\n" if word == b"one\n" else b"four\n")
        await asyncio.sleep(0.05)


CAT = Program(("cat",))
TRUE = Program(("true",))
FALSE = Program(("false",))
MD5SUM = Program(("md5sum",))
SLEEP = Program(("sleep", "60"))
HEAD = Program(("head", "-c", "3"))
NO_SUCH = Program(("no-such-program", "--help"))
ENDLESS = Program(("cat", "/dev/zero"))
OUT_ERR_3 = sh("echo out; echo err >&2; exit 3")
CAT_THEN_MORE = sh("cat; echo after; echo late >&2")
STDERR_FIRST = sh("head -c 1048576 /dev/zero >&2; head -c 1048576 /dev/zero")
PARTIAL = sh("echo partial; echo trouble >&2; sleep 60")
VARIABLES = sh('echo "$GREETING, $NAME"')
EXIT_137 = sh("exit 137")
CLOSES_STDOUT = sh("echo out; exec >&-; sleep 0.2; echo err >&2; exit 4", _close_stdout_early)
CLOSES_STDERR = sh("echo err >&2; exec 2>&-; sleep 0.2; echo out; exit 4", _close_stderr_early)
INTERLEAVED = sh(
    "i=0; while [ $i -lt 64 ]; do head -c 16384 /dev/zero; head -c 16384 /dev/zero >&2;"
    " i=$((i+1)); done",
    _interleaved,
)
TRAPS_TERM = sh(
    "trap 'echo stopping; exit 5' TERM; echo ready; while :; do sleep 0.05; done", _trap_term
)
TOO_HUNGRY = Program(("dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"), _too_hungry)
WITH_CHILDREN = sh("sleep 60 & sleep 60 & echo started; wait", _with_children)
CHILD_OUTLIVES = sh("sleep 60 & echo done; exit 6", _child_outlives)
TAKING_TURNS = sh(
    "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three; sleep 0.2; echo four >&2",
    _taking_turns,
)

_TWINS = {
    program.argv: program.twin
    for program in list(globals().values())
    if isinstance(program, Program) and program.twin is not None
}


async def contract_busybox(call: Call) -> int | None:
    """Run the memory engine's busybox with the twins of what its shell cannot do."""
    return await _TWINS.get(call.argv, busybox)(call)
