"""What every module of routes is handed: the parts of one gateway."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from wherry._version import __version__

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

    from wherry.service.service import FunctionService
    from wherry.triggers.http.metrics import Metrics


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


class Guard(Protocol):
    """Decides who may do what; see :mod:`wherry.triggers.http.auth`."""

    async def refusal(self, scope: Scope, *, needs: str) -> Response | None:
        """Return the answer (401, 403, 429) for a caller who may not, None for one who may.

        ``needs`` is ``admin``, ``deploy``, ``read`` or ``invoke:NAME.NAMESPACE``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One gateway's parts; each module of routes offers ``routes(parts) -> list[Route]``."""

    service: FunctionService
    functions: Any
    """A :class:`wherry.functions.store.FunctionStore`; its ``secrets`` too."""
    calls: Any = None
    """A :class:`wherry.calls.store.CallStore`; None: no records, no queue."""
    workers: Any = None
    """The :class:`wherry.calls.workers.QueueWorkers` that empty the queue."""
    logs: Any = None
    """A :class:`wherry.calls.logs.FunctionLogs`."""
    tokens: Any = None
    """The store of tokens, where there is one."""
    guard: Guard | None = None
    """None: everybody may do everything (``--no-auth``)."""
    metrics: Metrics | None = None
    options: GatewayOptions = field(default_factory=GatewayOptions)
