"""One call on a Docker engine, made cold or in a container that was ready for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wherry import streams
from wherry.errors import WherryError
from wherry.models import Function, Invocation, Ready

if TYPE_CHECKING:
    from wherry.engines.base import Slot, Stdin
    from wherry.engines.docker.engine import DockerEngine
    from wherry.streams import Collected


def function_of(*command: str, ready: Ready | None = None, **fields: Any) -> Function:
    made = Function(name="f", image="busybox", command=command, ready=ready or Ready())
    return replace(made, **fields)


async def called(slot: Slot, invocation: Invocation, stdin: Stdin) -> Collected:
    async with slot.start(invocation, stdin) as container:
        assert container.id == invocation.id
        assert not slot.usable
        return await streams.collect(container)


async def cold(
    engine: DockerEngine, invocation: Invocation, stdin: Stdin
) -> Collected | WherryError:
    try:
        async with engine.start(invocation, stdin) as container:
            return await streams.collect(container)
    except WherryError as error:
        return error


async def ready(
    engine: DockerEngine, invocation: Invocation, stdin: Stdin
) -> Collected | WherryError:
    try:
        async with engine.reserve(invocation.function) as slot:
            assert slot.usable
            assert slot.serves(invocation)
            return await called(slot, invocation, stdin)
    except WherryError as error:
        return error
