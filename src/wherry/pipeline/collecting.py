"""A pipeline read to its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.models import Exit, Invocation, Output
from wherry.pipeline.result import PipelineResult, Stage

if TYPE_CHECKING:
    from wherry.pipeline.running import Link, Pipeline


async def collect(running: Pipeline, invocations: Sequence[Invocation]) -> PipelineResult:
    """Read a pipeline of these invocations to its end: all of stdout, the last bytes of stderr.

    Raises what the engine, or the source of the input, raises.
    """
    data = b"".join(
        [
            event.data
            async for event in running
            if isinstance(event, Output) and event.stream == "stdout"
        ]
    )
    links = running.links
    last = [b""] * (len(links) - 1) + [data]
    stages = tuple(
        _stage(link, invocation, stdout=wrote)
        for link, invocation, wrote in zip(links, invocations, last, strict=True)
    )
    return PipelineResult(
        id=running.id,
        stages=stages,
        stdout=data,
        duration=max(link.ended for link in links) - min(link.began for link in links),
        failed=None if running.failed is None else stages[links.index(running.failed)],
    )


def _stage(link: Link, invocation: Invocation, *, stdout: bytes) -> Stage:
    function = invocation.function
    return Stage(
        id=invocation.id,
        function=function.name,
        image=function.image,
        command=(*(function.entrypoint or ()), *function.command, *invocation.args),
        exit=link.exit or Exit(None),
        stdout=stdout,
        stderr=link.stderr.value(),
        stderr_truncated=link.stderr.truncated,
        duration=link.ended - link.began,
        cut=link.cut,
    )
