"""One call through a gateway: our stdin is its body, its answer our stdout."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from urllib.parse import quote

from wherry.cli import ending, functions, gateway_client, sources, standard
from wherry.cli.ending import Ended
from wherry.cli.gateway_errors import error_of
from wherry.cli.sinks import Sink, SinkClosed
from wherry.errors import EngineError, UsageError

if TYPE_CHECKING:
    import argparse
    from contextlib import AbstractAsyncContextManager

    from wherry.cli.gateway_client import Answer

_TEXT_BYTES = 64 * 1024
_ERRORS, _TIMEOUT = 400, 504
_LIVE = "application/x-ndjson, */*"
"""What makes a gateway answer before it knows how the call ends."""


async def call(args: argparse.Namespace) -> int:
    """Call a function; return its exit code, or what stands for the gateway's failure."""
    async with _sent(args, route="function") as answer:
        code = answer.headers.get("x-exit-code")
        reason = answer.headers.get("x-exit-reason")
        has_ended = answer.status != _TIMEOUT and (code or reason)
        if answer.status >= _ERRORS and not has_ended:
            return await _refused(answer, args)
        await relay(answer)
    if reason and not args.quiet:
        standard.say(f"wherry invoke: {args.function} was ended: {reason}")
    if code is None:
        return ending.KILLED if reason else 0
    return _code(code)


async def enqueue(args: argparse.Namespace) -> int:
    """Queue a call and print its id."""
    async with _sent(args, route="async-function") as answer:
        if answer.status >= _ERRORS:
            return await _refused(answer, args)
        await answer.read()
    standard.emit(f"{answer.headers.get('x-call-id', '')}\n")
    return 0


def _sent(args: argparse.Namespace, *, route: str) -> AbstractAsyncContextManager[Answer]:
    path, query = _rest(args.path or "")
    target = functions.path(args.function, namespace=args.namespace, route=route) + path + query
    return gateway_client.gateway_of(args).open(
        args.method or "POST",
        target,
        headers=_headers(args),
        body=sources.stdin(interactive=args.interactive),
    )


async def relay(answer: Answer) -> None:
    """Copy an answer to our stdout."""
    sink = Sink("stdout")
    try:
        async for chunk in answer:
            await sink.write(chunk)
    except SinkClosed:
        raise Ended(by=signal.SIGPIPE) from None
    finally:
        sink.close()


async def _refused(answer: Answer, args: argparse.Namespace) -> int:
    text = (await answer.read(_TEXT_BYTES)).decode(errors="replace")
    error = error_of(answer.status, text)
    standard.say(f"wherry invoke: {args.function}: {error}")
    return ending.TIMED_OUT if answer.status == _TIMEOUT else ending.OUR_FAILURE


def _code(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 255):
        raise EngineError(f"X-Exit-Code: {text!r} is no exit code")
    return int(text) or ending.OUR_FAILURE


def _headers(args: argparse.Namespace) -> dict[str, str]:
    found = {"Content-Type": "application/octet-stream"}
    for text in args.header:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"--header: {text!r} must be NAME:VALUE")
        found[name.strip()] = value.strip()
    given = {
        "X-Timeout": args.timeout,
        "X-Call-Id": args.id,
        "X-Callback-Url": args.callback,
        "Accept": _LIVE if args.live else None,
    }
    return found | {name: value for name, value in given.items() if value}


def _rest(text: str) -> tuple[str, str]:
    path, mark, query = text.partition("?")
    if path and not path.startswith("/"):
        path = f"/{path}"
    return quote(path, safe="/%:@!$&'()*+,;=~-._"), mark + quote(query, safe="%=&+,;:@/?!$'()*~-._")
