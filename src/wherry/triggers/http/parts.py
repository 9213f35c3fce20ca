"""What every module of routes is handed: the parts of one gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wherry._version import __version__
from wherry.triggers.http.forwarding import Trusted

if TYPE_CHECKING:
    from wherry.functions.store import FunctionStore
    from wherry.service.service import FunctionService
    from wherry.triggers.http.auth import Auth
    from wherry.triggers.http.metrics import Metrics
    from wherry.triggers.http.tokens import TokenStore


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayOptions:
    """What a gateway allows, and what it says of itself."""

    max_body: int = 8 * 1024**3
    """Bytes of a request's body, where the function says nothing."""
    max_document: int = 1024 * 1024
    """Bytes of a JSON document sent to ``/system``."""
    engine: str = "local"
    """What it runs containers on, for ``/system/info``."""
    version: str = __version__
    sha: str = ""
    """Commit that it was built from, where that is known."""
    title: str = "wherry"
    trusted: Trusted = field(default_factory=Trusted)
    """Proxies whose word on where a request comes from is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One gateway's parts; each module of routes offers ``routes(parts) -> list[Route]``."""

    service: FunctionService
    functions: FunctionStore
    calls: Any = None
    """A :class:`wherry.calls.store.CallStore`; None: no records, no queue."""
    workers: Any = None
    """The :class:`wherry.calls.workers.QueueWorkers` that empty the queue."""
    schedules: Any = None
    """A :class:`wherry.triggers.cron.service.Schedules`."""
    dispatching: Any = None
    """A :class:`wherry.triggers.amqp.service.Dispatching`."""
    logs: Any = None
    """A :class:`wherry.calls.logs.FunctionLogs`."""
    tokens: TokenStore | None = None
    guard: Auth | None = None
    """Who may do what; None where nobody asks, such as in tests."""
    metrics: Metrics | None = None
    options: GatewayOptions = field(default_factory=GatewayOptions)
