"""A Docker engine of our own to measure against, never the user's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from bench.harness import Missing
from tests.support.dockerd import running_dockerd
from tests.support.require import require


@dataclass(frozen=True, slots=True)
class Docker:
    """The docker command of one engine, which has the image ``busybox``."""

    command: tuple[str, ...]
    address: str
    """The engine's name for wherry."""

    def run(self, *arguments: str) -> list[str]:
        """Return a ``docker run`` that is like a call: stdin fed, removed in the end."""
        return [*self.command, "run", "--rm", "-i", *arguments]


@asynccontextmanager
async def private_engine() -> AsyncIterator[Docker]:
    """Start an engine in namespaces of its own, with its own data, and end it again."""
    running = running_dockerd()
    try:
        client = require("docker")
        daemon = await asyncio.to_thread(running.__enter__)
    except (pytest.skip.Exception, pytest.fail.Exception) as error:
        raise Missing(str(error)) from error
    try:
        yield Docker((client, "--host", f"unix://{daemon.socket}"), daemon.unix)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
