"""One function as all that a server has: what the gateway's own code is given behind a mount."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from wherry.errors import NotFound
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed, Deployment, Settings
from wherry.service.service import FunctionService
from wherry.triggers.http.parts import GatewayOptions, Parts

if TYPE_CHECKING:
    from wherry.client import AsyncClient
    from wherry.models import Function

NO_LIMIT = 30 * 86400.0
"""Seconds that a call may take where neither the mount nor the function says anything."""


def _no_env() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class MountOptions:
    """How requests become calls of a mounted function."""

    cgi: bool = False
    """The program is a CGI program."""
    timeout: float | None = None
    """Seconds that a call may take; None: the function's own limit."""
    max_body: int = 8 * 1024**3
    """Bytes of a request's body; what is larger is answered 413."""
    concurrency: int | None = None
    """Requests that run at one time; what is more is answered 429."""
    stream: bool = False
    """Answer live, without holding back the first 64 KiB."""
    env: Mapping[str, str] = field(default_factory=_no_env)
    """Variables of every call of a CGI program, besides the function's own."""
    inherit: tuple[str, ...] = ()
    """Names of variables of this process that a CGI program is given."""


class Single:
    """Implements :class:`wherry.service.service.Functions` for one function."""

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed

    def get(self, name: str, *, namespace: str = DEFAULT_NAMESPACE) -> Deployed:
        """Return it, by its own name."""
        if (name, namespace) != (self._deployed.name, self._deployed.namespace):
            raise NotFound(f"there is no function {name!r}")
        return self._deployed

    def list(self, namespace: str | None = None) -> list[Deployed]:
        """Return it."""
        return [self._deployed]

    def watch(self, changed: Callable[[str, Deployed | None], None]) -> None:
        """Do nothing: it never changes."""

    def count(self, qualified: str) -> None:
        """Do nothing: nobody asks."""


def deployed_of(function: Function, options: MountOptions) -> Deployed:
    """Return a function as if it had been deployed."""
    settings = Settings(
        timeout=options.timeout or function.limits.timeout,
        concurrency=options.concurrency,
        max_body=options.max_body,
        stream=options.stream,
        ready=function.ready,
        scale_max=20 if function.ready is not None else 0,
        scale_to_zero=False,
        mode="cgi" if options.cgi else "stdio",
    )
    return Deployed(
        name=function.name,
        namespace=DEFAULT_NAMESPACE,
        deployment=Deployment(service=function.name, image=function.image),
        settings=settings,
        function=function,
        created=0.0,
        source="mount",
        replicas=function.ready.min if function.ready is not None else 0,
    )


def parts_of(deployed: Deployed, *, client: AsyncClient, options: MountOptions) -> Parts:
    """Return the parts of a gateway that has this function alone."""
    functions: Any = Single(deployed)
    service = FunctionService(client, functions, max_timeout=NO_LIMIT)
    return Parts(
        service=service, functions=functions, options=GatewayOptions(max_body=options.max_body)
    )
