"""A gateway in front of the memory engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.support.asgi import Asgi
from tests.support.functions import Registry

from wherry.client import AsyncClient
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine, Program
from wherry.triggers.http.invoke import Invoke
from wherry.triggers.http.parts import GatewayOptions, Parts

if TYPE_CHECKING:
    from wherry.functions.model import Deployed
    from wherry.models import Output
    from wherry.service.admission import Capacity
    from wherry.service.call import Call


class Remembering:
    """An observer that remembers what it heard."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.heard: list[str] = []

    def began(self, call: Call) -> None:
        self.calls.append(call)
        self.heard.append("began")

    def started(self, call: Call) -> None:
        self.heard.append("started")

    def wrote(self, call: Call, output: Output) -> None:
        self.heard.append(output.stream)

    def ended(self, call: Call) -> None:
        self.heard.append("ended")


class MemoryGateway:
    """The application below ``/function/``, and all that is around it."""

    def __init__(
        self, app: Invoke, *, engine: MemoryEngine, service: FunctionService, heard: Remembering
    ) -> None:
        self.app = app
        self.ask = Asgi(app)
        self.engine = engine
        self.service = service
        self.heard = heard

    @property
    def call(self) -> Call:
        """The last call."""
        return self.heard.calls[-1]


@asynccontextmanager
async def memory_gateway(
    *functions: Deployed,
    programs: Mapping[str, Program] | None = None,
    options: GatewayOptions | None = None,
    capacity: Capacity | None = None,
    max_timeout: float = 60.0,
    engine: MemoryEngine | None = None,
) -> AsyncIterator[MemoryGateway]:
    """Serve functions; nothing may run when the block is left."""
    engine = engine or MemoryEngine(programs)
    heard = Remembering()
    registry: Any = Registry(*functions)
    async with AsyncClient(engine) as client:
        service = FunctionService(
            client, registry, capacity=capacity, max_timeout=max_timeout, observers=[heard]
        )
        parts = Parts(service=service, functions=registry, options=options or GatewayOptions())
        yield MemoryGateway(Invoke(parts), engine=engine, service=service, heard=heard)
        await service.aclose()
        assert engine.running == {}
        assert service.admission.running == 0
