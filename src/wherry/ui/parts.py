"""What the dashboard is made of, and who looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from wherry._version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import Scope

    from wherry.calls.logs import FunctionLogs
    from wherry.calls.performing import Performer
    from wherry.calls.store import CallStore
    from wherry.functions.model import Deployed, Mode
    from wherry.functions.store import FunctionStore
    from wherry.service.recent import Recent
    from wherry.service.service import FunctionService
    from wherry.ui.scheduled import Scheduled

MIB = 1024 * 1024


class Caller(Protocol):
    """Who a request comes from."""

    @property
    def name(self) -> str:
        """As it is to be called on a page."""
        ...

    def may(self, needs: str) -> bool:
        """Whether one of its scopes includes this one."""
        ...


class Guard(Protocol):
    """What lets requests in, before the dashboard sees them.

    It has refused who may not look, and whatever changes something and comes from a page of
    another site, or from who may not deploy.
    """

    def caller(self, scope: Scope) -> Caller:
        """Return who asks."""
        ...

    async def call_refusal(self, scope: Scope, deployed: Deployed) -> Response | None:
        """Return the answer for a caller who may not call this function."""
        ...


class Files(Protocol):
    """The files that declare functions."""

    @property
    def problems(self) -> Mapping[Path, str]:
        """File to what is wrong with it now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The parts of one server that the dashboard shows."""

    service: FunctionService
    functions: FunctionStore
    recent: Recent
    calls: CallStore
    logs: FunctionLogs | None = None
    guard: Guard | None = None
    """None where nobody asks, such as in tests."""
    files: Files | None = None
    schedules: Scheduled | None = None
    performers: Mapping[Mode, Performer] = field(default_factory=lambda: MappingProxyType({}))
    """What calls functions that are no plain programs."""
    max_upload: int = 64 * MIB
    """Bytes of a file that is sent to a function by form; what is larger takes the gateway."""
    max_shown: int = 2 * MIB
    """Bytes of an answer that a page shows."""
    per_page: int = 50
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a page, and what may be offered there."""

    name: str | None
    """None: nobody was asked."""
    deploys: bool

    @classmethod
    def of(cls, scope: Scope, guard: Guard | None) -> Viewer:
        """Return who sends a request that the guard let in."""
        if guard is None:
            return cls(None, deploys=True)
        caller = guard.caller(scope)
        name = None if caller.name == "anybody" else caller.name
        return cls(name, deploys=caller.may("deploy"))
