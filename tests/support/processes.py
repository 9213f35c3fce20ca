"""Starting processes of a harness's engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.process import PIPE, Process

if TYPE_CHECKING:
    from tests.support.harness import Harness
    from tests.support.programs import Program

    from wherry.process import Source, Target


async def popen(
    harness: Harness,
    program: Program,
    *,
    stdin: Source = None,
    stdout: Target = PIPE,
    stderr: Target = PIPE,
) -> Process:
    process = Process(
        harness.engine,
        harness.invocation(program),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
    )
    await process.start()
    return process
