"""A container as an ASGI application, to be mounted into Starlette, FastAPI or Quart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wherry.client import AsyncClient, BoundFunction
from wherry.errors import UsageError
from wherry.models import Function
from wherry.triggers.cgi.environment import CgiOptions
from wherry.triggers.cgi.handler import Cgi
from wherry.triggers.http.invoke import Answering
from wherry.triggers.mount.single import MountOptions, deployed_of, parts_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from wherry.triggers.http.parts import Parts


def asgi(
    function: Function | BoundFunction,
    *,
    client: AsyncClient | None = None,
    cgi: bool = False,
    timeout: float | None = None,
    max_body: int = 8 * 1024**3,
    concurrency: int | None = None,
    stream: bool = False,
    env: Mapping[str, str] | None = None,
    inherit: Sequence[str] = (),
) -> AsgiFunction:
    """Return an ASGI application that answers each request with a call of the function.

    The body streams into stdin and stdout into the answer, with the statuses of the gateway:
    200 for exit code 0, 500 for another, 504 for a timeout, 413, 429, 502, 503. With ``cgi`` the
    program chooses status and headers itself. ``timeout`` is in seconds, ``max_body`` in bytes.
    ``env`` and ``inherit`` (names of variables of this process) are for CGI programs. Without
    ``client``, a :class:`Function` is called by a client of its own, on the engine that
    ``WHERRY_ENGINE`` names; it ends with the server's lifespan, or with ``aclose``.
    """
    options = MountOptions(
        cgi=cgi,
        timeout=timeout,
        max_body=max_body,
        concurrency=concurrency,
        stream=stream,
        env=dict(env or {}),
        inherit=tuple(inherit),
    )
    if isinstance(function, BoundFunction):
        return AsgiFunction(function.function, client=client or function.client, options=options)
    if isinstance(function, Function):
        return AsgiFunction(function, client=client, options=options)
    raise UsageError(
        f"{function!r:.100} is no function for wherry.asgi: give a wherry.Function, or what "
        "AsyncClient.function() returns; for wherry.function() there is wherry.wsgi"
    )


class AsgiFunction:
    """A function as an ASGI application; see :func:`wherry.asgi`."""

    def __init__(
        self, function: Function, *, client: AsyncClient | None, options: MountOptions
    ) -> None:
        self._client = client
        self._own: AsyncClient | None = None
        self._options = options
        self._deployed = deployed_of(function, options)
        self._parts: Parts | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        match scope["type"]:
            case "lifespan":
                await self._live(receive, send)
            case "http":
                await self._answer(scope, receive, send)
            case _:
                await send({"type": "websocket.close", "code": 1000})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what runs, where the client is its own. The next request makes a new one."""
        parts, self._parts = self._parts, None
        own, self._own = self._own, None
        if parts is not None:
            await parts.service.aclose()
        if own is not None:
            await own.aclose()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._parts is None:
            self._parts = parts_of(self._deployed, client=self._called_by(), options=self._options)
        root = str(scope.get("root_path", ""))
        path = str(scope["path"])
        if root and path != root and not path.startswith(f"{root}/"):
            path = root + path  # a server that leaves out what it was mounted at
        scope = {**scope, "path": path}
        rest = path[len(root) :]
        if self._options.cgi:
            scope |= {"wherry.function": self._deployed, "wherry.path": rest}
            await self._cgi(self._parts)(scope, receive, send)
        else:
            answering = Answering(self._parts, self._deployed, rest or "/")
            await answering.answer(scope, receive=receive, send=send)

    def _cgi(self, parts: Parts) -> ASGIApp:
        options = self._options
        return Cgi(
            parts,
            options=CgiOptions(inherit=options.inherit, env=options.env, max_body=options.max_body),
        )

    def _called_by(self) -> AsyncClient:
        if self._client is not None:
            return self._client
        self._own = AsyncClient.from_env()
        return self._own

    async def _live(self, receive: Receive, send: Send) -> None:
        """Follow the server's life, where this is its application."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return
            await send({"type": "lifespan.startup.complete"})
