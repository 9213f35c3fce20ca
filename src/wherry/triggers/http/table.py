"""All operations of `/system`, and what says what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.triggers.http import function_logs, health, namespaces, openapi, secrets, system
from wherry.triggers.http.operations import routes_of

if TYPE_CHECKING:
    from starlette.routing import Route

    from wherry.triggers.http.operations import Operation
    from wherry.triggers.http.parts import Parts

_MODULES = (health, system, secrets, namespaces, function_logs)


def operations(parts: Parts) -> list[Operation]:
    """Return every operation that is made from the table."""
    found = [operation for module in _MODULES for operation in module.operations(parts)]
    return [*found, *openapi.operations(parts, others=found)]


def routes(parts: Parts) -> list[Route]:
    """Return their routes."""
    return routes_of(operations(parts))
