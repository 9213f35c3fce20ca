"""A container as a WSGI application, to be mounted into Flask, Django or Bottle.

A WSGI server has a thread for each request, and its input may be read in that thread alone. So
input and output take turns there: while the client lets itself be waited for, no output goes out.
https://peps.python.org/pep-3333/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wherry.errors import UsageError
from wherry.models import CHUNK, Function
from wherry.sync.client import Client, SyncFunction
from wherry.triggers.mount.asgi import AsgiFunction, asgi
from wherry.triggers.mount.turns import Turns

if TYPE_CHECKING:
    from starlette.types import Message, Scope

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
_BETWEEN_HOPS = frozenset({b"connection", b"transfer-encoding", b"keep-alive"})


def wsgi(
    function: Function | SyncFunction,
    *,
    client: Client | None = None,
    cgi: bool = False,
    timeout: float | None = None,
    max_body: int = 8 * 1024**3,
    concurrency: int | None = None,
    stream: bool = False,
    env: Mapping[str, str] | None = None,
    inherit: Sequence[str] = (),
) -> WsgiFunction:
    """Return a WSGI application that answers each request with a call of the function.

    As :func:`wherry.asgi`, but that output waits while input is read. Without ``client``, a
    :class:`Function` is called by this process's own, as ``wherry.run`` is.
    """
    if isinstance(function, SyncFunction):
        client = client or function.client
        function = function.function
    if not isinstance(function, Function):
        raise UsageError(
            f"{function!r:.100} is no function for wherry.wsgi: give a wherry.Function, or what "
            "wherry.function() returns; for AsyncClient.function() there is wherry.asgi"
        )
    declared = function

    def make(caller: Client) -> AsgiFunction:
        return asgi(
            declared,
            client=caller.asynchronous,
            cgi=cgi,
            timeout=timeout,
            max_body=max_body,
            concurrency=concurrency,
            stream=stream,
            env=env,
            inherit=inherit,
        )

    return WsgiFunction(make, client=client)


class WsgiFunction:
    """A function as a WSGI application; see :func:`wherry.wsgi`."""

    def __init__(
        self, make: Callable[[Client], AsgiFunction], *, client: Client | None = None
    ) -> None:
        self._make = make
        self._client = client
        self._made: tuple[Client, AsgiFunction] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        from wherry.sync.default import default_client

        client = self._client or default_client()
        made = self._made
        if made is None or made[0] is not client:  # such as after a fork
            made = self._made = (client, self._make(client))
        turns = Turns(client.portal, made[1], scope_of(environ), body_of(environ))
        return _Answer(turns, start_response)


class _Answer:
    """What a WSGI server iterates, and closes."""

    def __init__(self, turns: Turns, start_response: StartResponse) -> None:
        self._turns = turns
        try:
            self._start(turns.next(), start_response)
        except BaseException:
            turns.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        while (message := self._turns.next()) is not None:
            if data := bytes(message.get("body", b"")):
                return data
        raise StopIteration

    def close(self) -> None:
        """End the call, if it has not ended."""
        self._turns.close()

    @staticmethod
    def _start(message: Message | None, start_response: StartResponse) -> None:
        assert message is not None
        status = message["status"]
        known = status in HTTPStatus._value2member_map_
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in message["headers"]
            if name.lower() not in _BETWEEN_HOPS
        ]
        phrase = HTTPStatus(status).phrase if known else "Unknown"
        start_response(f"{status} {phrase}", headers)


def scope_of(environ: Environ) -> Scope:
    """Return a request as ASGI has it."""
    root = _text(environ.get("SCRIPT_NAME", ""))
    path = root + _text(environ.get("PATH_INFO", ""))
    client = environ.get("REMOTE_ADDR")
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or quote(path))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": str(environ.get("SERVER_PROTOCOL", "HTTP/1.1")).removeprefix("HTTP/"),
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": path or "/",
        "raw_path": raw.partition("?")[0].encode("latin-1"),
        "root_path": root,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": list(_headers(environ)),
        "client": (client, int(environ.get("REMOTE_PORT") or 0)) if client else None,
        "server": (environ.get("SERVER_NAME", ""), int(environ.get("SERVER_PORT") or 80)),
        "extensions": {},
    }


def body_of(environ: Environ) -> Iterator[bytes]:
    """Yield a request's body, and no byte of what may follow it."""
    source = environ["wsgi.input"]
    length = str(environ.get("CONTENT_LENGTH") or "")
    chunked = "chunked" in str(environ.get("HTTP_TRANSFER_ENCODING", "")).lower()
    left = int(length) if length.isdecimal() else None
    if left is None and not chunked and not environ.get("wsgi.input_terminated"):
        return
    while left is None or left > 0:
        data = source.read(CHUNK if left is None else min(left, CHUNK))
        if not data:
            return
        left = None if left is None else left - len(data)
        yield data


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-").lower().encode(), str(value).encode("latin-1")
        elif name in {"CONTENT_TYPE", "CONTENT_LENGTH"} and value:
            yield name.replace("_", "-").lower().encode(), str(value).encode("latin-1")


def _text(value: str) -> str:
    """Return what WSGI carries as latin-1 as what it is."""
    return value.encode("latin-1").decode("utf-8", "replace")
