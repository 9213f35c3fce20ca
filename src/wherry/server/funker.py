"""The ``[funker]`` table of ``wherry.toml``: deployed functions on ports of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.errors import EngineError, UsageError
from wherry.functions.files import is_stack, read_tables
from wherry.functions.names import split_name
from wherry.server.sockets import Listener, bind
from wherry.triggers.funker import FunkerPort

if TYPE_CHECKING:
    from wherry.service.service import FunctionService

Ports = Mapping[str, tuple[str, ...]]
"""Function to the addresses that it is called at."""


def ports_of(files: Sequence[Path]) -> Ports:
    """Read the table; raises :class:`UsageError` that names file and field."""
    ports: dict[str, tuple[str, ...]] = {}
    for path in files:
        table = {} if is_stack(path) else read_tables(path).get("funker", {})
        if not isinstance(table, dict):
            raise UsageError(f"{path}: funker: {table!r} must be a table of functions")
        for name, value in table.items():
            field = f"{path}: funker.{name}"
            addresses = value if isinstance(value, list) else [value]
            if not addresses or not all(isinstance(each, str) for each in addresses):
                raise UsageError(f"{field}: {value!r} must be an address such as 127.0.0.1:9999")
            try:
                split_name(name)
            except UsageError as error:
                raise UsageError(f"{field}: {error}") from error
            ports[name] = (*ports.get(name, ()), *addresses)
    return ports


class Exposed:
    """Functions that are called on ports of their own; they go on until :meth:`stop`."""

    def __init__(self) -> None:
        self._ports: list[FunkerPort] = []
        self._listeners: list[Listener] = []
        self.addresses: list[tuple[str, str]] = []
        """Function, and where it is called."""

    async def add(self, port: FunkerPort, addresses: Sequence[str]) -> None:
        """Call a function at some addresses; raises :class:`UsageError`, :class:`EngineError`."""
        self._ports.append(port)
        for listener in _bound(port.name, addresses):
            self._listeners.append(listener)
            self.addresses.append((port.name, listener.address))
            await port.listen(listener.socket)

    async def stop(self, *, grace: float, at_once: asyncio.Event | None = None) -> None:
        """Take no more calls, and end those that run within the grace. Idempotent."""
        ports, self._ports = self._ports, []
        try:
            await asyncio.gather(*(port.aclose(grace=grace, at_once=at_once) for port in ports))
        finally:
            for listener in self._listeners:
                listener.close()
            self._listeners = []


@asynccontextmanager
async def exposed(
    ports: Ports, service: FunctionService, *, say: Callable[[str], None]
) -> AsyncIterator[Exposed]:
    """Expose functions while the block runs; who is left in it then is cut."""
    async with AsyncExitStack() as stack:
        made = Exposed()
        stack.push_async_callback(made.stop, grace=0.0)
        for name, addresses in ports.items():
            await made.add(FunkerPort(service, name), addresses)
        for name, address in made.addresses:
            say(f"funker: {name} at {address}")
        yield made


def _bound(name: str, addresses: Sequence[str]) -> Sequence[Listener]:
    try:
        return bind(addresses)
    except (UsageError, EngineError) as error:
        said = str(error).removeprefix("--listen: ")
        kind = UsageError if isinstance(error, UsageError) else EngineError
        raise kind(f"funker.{name}: {said}") from error
