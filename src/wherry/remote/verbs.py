"""The containers of one Docker engine; see :class:`wherry.remote.model.Containers`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from wherry.remote.model import NO_TEXT, Running

if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry.engines.docker.client import DockerClient
    from wherry.models import Output
    from wherry.remote.model import (
        Caller,
        ExecRequest,
        LogsRequest,
        PullRequest,
        Row,
        RunRequest,
    )


class Verbs:
    """Implements :class:`wherry.remote.model.Containers`, for everybody alike.

    No shell and no docker command: requests of the Engine API, whose arguments are lists.
    """

    def __init__(self, client: DockerClient, *, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._clock = clock

    async def list(self, caller: Caller, *, labels: Mapping[str, str] = NO_TEXT) -> Sequence[Row]:
        """Return every container that has these labels, stopped ones too, the newest first."""
        raise NotImplementedError

    @asynccontextmanager
    async def logs(
        self, caller: Caller, request: LogsRequest
    ) -> AsyncIterator[AsyncIterator[Output]]:
        """Read what a container has written."""
        raise NotImplementedError
        yield

    @asynccontextmanager
    async def run(self, caller: Caller, request: RunRequest) -> AsyncIterator[Running]:
        """Run a container, attached; leaving the block before its Exit kills it."""
        raise NotImplementedError
        yield

    async def detach(self, caller: Caller, request: RunRequest) -> str:
        """Run a container that goes on by itself, and return its id."""
        raise NotImplementedError

    @asynccontextmanager
    async def exec(self, caller: Caller, request: ExecRequest) -> AsyncIterator[Running]:
        """Run one more program in a running container."""
        raise NotImplementedError
        yield

    async def remove(self, caller: Caller, container: str) -> None:
        """Kill and remove a container, with its anonymous volumes."""
        raise NotImplementedError

    async def pull(self, caller: Caller, request: PullRequest) -> None:
        """Fetch an image."""
        raise NotImplementedError

    async def inspect(self, caller: Caller, container: str) -> Mapping[str, Any]:
        """Return what the engine knows of a container."""
        raise NotImplementedError
