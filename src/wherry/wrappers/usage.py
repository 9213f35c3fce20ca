"""What the containers of a function take, asked of an engine that may or may not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.engines.base import UsageEngine

if TYPE_CHECKING:
    from wherry.engines.base import Engine, Usage


async def usage_of(engine: Engine, function: str) -> Sequence[Usage]:
    """Return it; nothing for an engine that does not tell.

    Raises :class:`wherry.errors.EngineError`.
    """
    return await engine.usage(function) if isinstance(engine, UsageEngine) else ()
