"""One call from our own stdin to our own stdout."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry.cli import ending, engines, sources, standard
from wherry.cli.ending import Ended
from wherry.cli.signals import Signals
from wherry.cli.sinks import SinkClosed, sinks
from wherry.client import AsyncClient
from wherry.errors import EngineError
from wherry.models import Exit, Output

if TYPE_CHECKING:
    import argparse

    from wherry.engines.base import Container
    from wherry.models import Function


async def call(function: Function, args: argparse.Namespace) -> int:
    """Call a function; return the exit code of the command, or raise :class:`Ended`."""
    began = time.monotonic()
    signals = Signals(stop_signal=_number_of(function.stop_signal))
    try:
        async with _started(function, args, signals) as container:
            if args.json:
                from wherry.cli import reporting

                exit_ = await reporting.report(container, function, began=began)
            else:
                exit_ = await relay(container)
    except asyncio.CancelledError:
        raise Ended(by=signals.ending or signal.SIGINT) from None
    except SinkClosed:
        raise Ended(by=signal.SIGPIPE) from None
    return outcome(exit_, function, signals=signals, quiet=args.quiet)


async def relay(container: Container) -> Exit:
    """Write what a container says to our own streams as it comes; return how it ended."""
    streams = sinks()
    try:
        async for event in container:
            if isinstance(event, Output):
                await streams[event.stream].write(event.data)
            else:
                return event
    finally:
        for sink in streams.values():
            sink.close()
    raise EngineError(f"the events of container {container.id} ended without an exit")


def outcome(exit_: Exit, function: Function, *, signals: Signals, quiet: bool) -> int:
    """Return the exit code that stands for how a container ended, and say why if need be."""
    if exit_.reason in ("timeout", "oom", "output") and not quiet:
        standard.say(f"wherry run: {function.name} {exit_.describe()}")
    if exit_.reason == "timeout":
        return ending.TIMED_OUT
    if exit_.reason in ("killed", "signal") and signals.ending:
        raise Ended(by=signals.ending)
    return ending.KILLED if exit_.code is None else exit_.code


@asynccontextmanager
async def _started(
    function: Function, args: argparse.Namespace, signals: Signals
) -> AsyncIterator[Container]:
    """Start a container from our stdin, with signals handed on to it."""
    engine = engines.open_for_calls(args)
    source = sources.stdin(interactive=args.interactive)
    async with (
        AsyncClient(engine) as client,
        client.start(function, input=source) as container,
        signals.forwarded(container),
    ):
        yield container


def _number_of(name: str | None) -> int | None:
    return None if name is None else signal.Signals[name].value
