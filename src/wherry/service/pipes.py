"""Deployed functions that are a pipe of others."""

from __future__ import annotations

import signal as signals
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from wherry.errors import NotFound, StartError
from wherry.functions.declare import stages_of
from wherry.pipeline import Pipeline, Start, pipeline

if TYPE_CHECKING:
    from wherry.engines.base import Event
    from wherry.functions.model import Deployed
    from wherry.service.live import LiveCall
    from wherry.service.service import Functions, FunctionService

_OF_THE_BODY = ("Http_Content_Length", "Http_Transfer_Encoding", "CONTENT_LENGTH")
"""What is true of the request's body only, which only the first stage reads."""
_MOST = 64
"""Stages of one pipe, those of the pipes in it included."""


def piped(
    service: FunctionService,
    deployed: Deployed,
    *,
    stdin: AsyncIterable[bytes],
    id: str,  # noqa: A002 - as in Invocation
    env: Mapping[str, str],
    timeout: float,
) -> AbstractAsyncContextManager[Pipeline]:
    """Call the functions of a pipe as one container: stdout of the last, stderr of all.

    Each stage is a call of its own, with the id ``<id>.<n>``: its own limits, record and logs.
    ``timeout``, in seconds, is that of the whole. See :class:`wherry.pipeline.Pipeline` for what
    ends it. Raises what keeps a stage from starting, :class:`StartError` for a stage that is
    not deployed.
    """
    starts: list[Start] = []
    for number, stage in enumerate(stages(deployed, service.functions), 1):
        given = env if number == 1 else {n: v for n, v in env.items() if n not in _OF_THE_BODY}
        starts.append(_start(service, stage, id=f"{id}.{number}", env=given, timeout=timeout))
    return pipeline(starts, stdin, id=id)


def stages(deployed: Deployed, functions: Functions) -> list[Deployed]:
    """Return the functions that a pipe comes to; a pipe in a pipe stands for its own.

    Raises :class:`StartError`.
    """
    found: list[Deployed] = []
    todo = [deployed]
    while todo:
        each = todo.pop()
        if not each.deployment.pipe:
            found.append(_plain(each, deployed))
        elif len(found) + len(todo) > _MOST:
            raise StartError(f"pipe {deployed.name!r} has more than {_MOST} stages")
        else:
            todo += reversed(_neighbours(each, functions))
    return found


def _neighbours(pipe: Deployed, functions: Functions) -> list[Deployed]:
    try:
        return [functions.get(name, namespace=space) for name, space in stages_of(pipe.deployment)]
    except NotFound as error:
        raise StartError(f"pipe {pipe.name!r} cannot run: {error}") from error


def _plain(stage: Deployed, pipe: Deployed) -> Deployed:
    if (mode := stage.settings.mode) != "stdio":
        raise StartError(
            f"pipe {pipe.name!r} cannot run: {stage.name!r} speaks {mode} (wherry.mode), and a "
            "stage reads stdin and writes stdout"
        )
    return stage


def _start(
    service: FunctionService,
    stage: Deployed,
    *,
    id: str,  # noqa: A002
    env: Mapping[str, str],
    timeout: float,
) -> Start:
    @asynccontextmanager
    async def start(stdin: AsyncIterable[bytes]) -> AsyncIterator[_Stage]:
        async with service.call(
            stage, stdin, trigger="pipe", id=id, env=env, timeout=timeout
        ) as live:
            yield _Stage(live)

    return start


class _Stage:
    """A stage's call, in whose record an end for want of a reader is no failure."""

    def __init__(self, live: LiveCall) -> None:
        self._live = live

    def __aiter__(self) -> AsyncIterator[Event]:
        return aiter(self._live)

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        if signal == signals.SIGPIPE and self._live.call.exit is None:
            self._live.call.status = 200
        await self._live.kill(signal)
