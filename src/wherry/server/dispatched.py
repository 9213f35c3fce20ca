"""Dispatch as a part of the server: its own functions and engine, for the messages of queues."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from wherry.server.containers import named_containers
from wherry.server.dispatch_table import tables_of
from wherry.server.turns import take_short_turns
from wherry.triggers.amqp.performing import Performer
from wherry.triggers.amqp.record import Record
from wherry.triggers.amqp.service import Dispatched, Dispatching

if TYPE_CHECKING:
    from wherry.client import AsyncClient
    from wherry.engines.base import Engine
    from wherry.server.dispatch_table import DispatchTable
    from wherry.server.options import ServeOptions
    from wherry.service.service import FunctionService
    from wherry.triggers.amqp.outcome import Outcome
    from wherry.triggers.amqp.performing import NamedContainers
    from wherry.triggers.amqp.settling import Say

_log = logging.getLogger("wherry.dispatch")


@asynccontextmanager
async def dispatched(
    options: ServeOptions, engine: Engine, *, service: FunctionService, client: AsyncClient
) -> AsyncIterator[Dispatching]:
    """Open what the queues of a server's files need; leaving the block closes it.

    Raises :class:`wherry.errors.WherryError` for a table or a state that cannot be used.
    """
    tables = tables_of(options)
    if not tables:  # the client of the broker is not even imported
        yield Dispatching()
        return
    from wherry.triggers.amqp.dispatcher import Dispatcher

    take_short_turns()
    named = named_containers(engine)
    async with AsyncExitStack() as stack:
        record = await Record.open(tables[0].options.state)
        stack.push_async_callback(record.aclose)
        await _warn_of_forsaken(record, tables)
        made = []
        for table in tables:
            performer = _performer(table, service=service, client=client, named=named)
            said = _saying(table.options.queue)
            made.append(
                Dispatched(
                    name=table.name,
                    queue=table.options.queue,
                    broker=table.shown,
                    concurrency=table.options.concurrency,
                    dispatcher=Dispatcher(table.options, performer, record=record, say=said),
                )
            )
        yield Dispatching(made)


async def _warn_of_forsaken(record: Record, tables: Sequence[DispatchTable]) -> None:
    """Name queues whose messages lie in the record of a crash, and that no table dispatches now."""
    for queue, count in (await record.forsaken({each.options.place for each in tables})).items():
        said = {"queue": queue, "messages": count}
        _log.warning("messages are held for a queue that no table dispatches", extra=said)


def _performer(
    table: DispatchTable,
    *,
    service: FunctionService,
    client: AsyncClient,
    named: NamedContainers | None,
) -> Performer:
    return Performer(
        client=client,
        service=service,
        named=named,
        codes=table.codes,
        timeout=table.timeout,
        max_output=table.max_output,
    )


def _saying(queue: str) -> Say:
    """Return what logs each outcome: who it was about and how it ended, never what was said."""

    def say(outcome: Outcome, document: Mapping[str, Any]) -> None:
        keys = ("message_id", "operation", "container", "exit_code", "attempt")
        extra = {"queue": queue, **{key: document[key] for key in keys}}
        if outcome.fate == "ack":
            _log.info("a message has had its outcome", extra=extra)
        else:
            extra["reason"] = outcome.reason
            _log.warning("a message is a dead letter", extra=extra)

    return say
