"""The `/system` part of a gateway over real stores and the memory engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.asgi import App, Asgi

from wherry.calls.logs import FunctionLogs
from wherry.client import AsyncClient
from wherry.functions.store import FunctionStore
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine
from wherry.triggers.http.app import gateway
from wherry.triggers.http.auth import Auth, AuthOptions
from wherry.triggers.http.parts import Parts
from wherry.triggers.http.passwords import BasicUser
from wherry.triggers.http.tokens import TokenStore


@dataclass
class System:
    """A gateway, and a client of it without a server between."""

    ask: Asgi
    app: App
    parts: Parts
    tokens: TokenStore
    logs: FunctionLogs

    def token(self, *scopes: str, name: str = "t") -> dict[str, str]:
        """Return the header of a new token."""
        return {"Authorization": f"Bearer {self.tokens.create(name, scopes=scopes)}"}


@asynccontextmanager
async def system(
    directory: Path, *, options: AuthOptions | None = None, password: str = "secret"
) -> AsyncIterator[System]:
    """Open one for the block; without options everybody may do everything."""
    functions = await FunctionStore.open(directory)
    logs = FunctionLogs(directory)
    tokens = TokenStore(directory)
    guard = Auth(
        options or AuthOptions(no_auth=True), basic=BasicUser.of("admin", password), tokens=tokens
    )
    try:
        async with AsyncClient(MemoryEngine()) as client:
            service = FunctionService(client, functions, observers=[logs])
            parts = Parts(service=service, functions=functions, logs=logs, guard=guard)
            app = gateway(parts)
            try:
                yield System(Asgi(app), app, parts, tokens, logs)
            finally:
                await service.aclose()
    finally:
        await logs.aclose()
        await functions.aclose()
