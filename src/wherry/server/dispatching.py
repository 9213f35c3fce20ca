"""``wherry dispatch`` from its start to its end."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.client import AsyncClient
from wherry.functions.fixed import FixedFunctions
from wherry.functions.secrets import SecretStore
from wherry.proxy.tenants.places import Places
from wherry.server.docker_api import with_docker_api
from wherry.server.stopping import Stopping
from wherry.server.turns import take_short_turns
from wherry.service.service import FunctionService
from wherry.triggers.amqp.dispatcher import Dispatcher
from wherry.triggers.amqp.outcome import ExitCodes
from wherry.triggers.amqp.performing import Performer
from wherry.triggers.amqp.record import Record

if TYPE_CHECKING:
    from wherry.engines.base import Engine
    from wherry.triggers.amqp.options import DispatchOptions
    from wherry.triggers.amqp.performing import NamedContainers
    from wherry.triggers.amqp.settling import Say


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchServer:
    """A dispatcher with everything that it needs."""

    options: DispatchOptions
    engine: Engine
    say: Say
    named: NamedContainers | None = None
    files: tuple[Path, ...] = ()
    """That declare functions."""
    state: Path
    """Where the secrets of those functions are."""
    codes: ExitCodes = field(default_factory=ExitCodes)
    timeout: float | None = None
    max_output: int = 1024 * 1024

    async def run(self) -> None:
        """Dispatch until a signal asks to stop; raises :class:`wherry.errors.WherryError`."""
        take_short_turns()
        async with AsyncExitStack() as stack:
            functions = FixedFunctions.read(self.files, secrets=SecretStore(self.state / "secrets"))
            places = Places(self.state.parent / "proxy")
            client = await stack.enter_async_context(
                AsyncClient(with_docker_api(self.engine, places=places))
            )
            service = FunctionService(client, functions, max_timeout=self.timeout or 24 * 3600.0)
            stack.push_async_callback(service.aclose)
            record = await Record.open(self.options.state)
            stack.push_async_callback(record.aclose)
            service.wake()
            performer = Performer(
                client=client,
                service=service,
                named=self.named,
                codes=self.codes,
                timeout=self.timeout,
                max_output=self.max_output,
            )
            stopping = Stopping()
            dispatcher = Dispatcher(self.options, performer, record=record, say=self.say)
            await dispatcher.run(stopping.asked, at_once=stopping.at_once)
