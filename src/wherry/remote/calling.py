"""What a client of our own engine asks for, read from its frames."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wherry.engines.remote import protocol
from wherry.engines.remote.protocol import Frames
from wherry.errors import Busy, EngineError, UsageError
from wherry.models import Function, Invocation, Secret
from wherry.wire import function_from_dict, invocation_from_dict

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call."""

    invocation: Invocation
    has_stdin: bool


class Budget:
    """Bytes that the calls of one server may hold together, from when they come to their end."""

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, size: int) -> None:
        """Take some; raises Busy when there are not so many left."""
        if size > self._left:
            raise Busy("the calls that are here hold as much as they may together")
        self._left -= size

    def give_back(self, size: int) -> None:
        """Give some back."""
        self._left += size


class FramesOf:
    """The frames of a request's body; :meth:`close` them."""

    def __init__(self, body: AsyncIterator[bytes], *, budget: Budget | None = None) -> None:
        """Count what comes until the call is known, files and all, against a ``budget``."""
        self._body = body
        self._budget = budget
        self._counts = budget is not None
        self._counted = 0
        self._frames = Frames()
        self._waiting: list[tuple[bytes, bytes]] = []

    async def next(self) -> tuple[bytes, bytes]:
        """Return kind and payload. Raises UsageError for what is no frame, or no more of them."""
        while not self._waiting:
            data = await anext(self._body, None)
            if data is None:
                raise UsageError("the body ended in the middle of a call")
            if self._counts and self._budget is not None:
                self._budget.take(len(data))
                self._counted += len(data)
            try:
                self._waiting += self._frames.feed(data)
            except protocol.Garbled as error:
                raise UsageError(f"the body holds {error}") from error
        return self._waiting.pop(0)

    async def call(self) -> Asked:
        """Return the call, which comes first. Raises UsageError."""
        kind, payload = await self.next()
        self._counts = False
        if kind != protocol.CALL:
            raise UsageError(f"the first frame must be a call, not {kind!r}")
        return read_call(payload)

    def close(self) -> None:
        """Give back what was counted. Idempotent."""
        if self._budget is not None:
            self._budget.give_back(self._counted)
            self._counted = 0

    async def stdin(self) -> AsyncIterator[bytes]:
        """Yield what the program reads. Raises EngineError for an input that broke off."""
        while True:
            try:
                kind, payload = await self.next()
            except UsageError as error:
                raise EngineError(f"the input of the call broke off: {error}") from error
            match kind:
                case protocol.INPUT:
                    yield payload
                case protocol.END:
                    return
                case _:
                    raise EngineError(f"the input of the call broke off at a frame {kind!r}")


def read_call(data: bytes) -> Asked:
    """Read the first frame of a call. Raises UsageError."""
    told = _document(data, {"invocation", "secrets", "stdin"})
    invocation = invocation_from_dict(told.get("invocation", {}))
    if not _ID.fullmatch(invocation.id):
        raise UsageError("invocation.id: must be 32 hexadecimal digits in lower case")
    has_stdin, secrets = told.get("stdin", False), told.get("secrets", {})
    if not isinstance(has_stdin, bool) or not isinstance(secrets, dict):
        raise UsageError("call: 'stdin' must be true or false, and 'secrets' an object")
    function = _ours(invocation.function)
    function = replace(function, secrets=tuple(_secret(*item) for item in secrets.items()))
    return Asked(invocation=replace(invocation, function=function), has_stdin=has_stdin)


def read_function(data: bytes) -> Function:
    """Read what is to be prepared. Raises UsageError."""
    return _ours(function_from_dict(_document(data, {"function"}).get("function", {})))


def _ours(function: Function) -> Function:
    """Return a function that names no file of this machine: those are the server's own."""
    if function.secrets or any(file.source is not None for file in function.files):
        raise UsageError("files and secrets of a call must come along with it, not by path")
    if function.collect:
        raise UsageError("collect: there is no way back for files")
    return function


def _document(data: bytes, known: set[str]) -> Mapping[str, Any]:
    try:
        told = json.loads(data)
    except ValueError as error:
        raise UsageError("the body must be JSON") from error
    if not isinstance(told, dict) or set(told) - known:
        raise UsageError(f"the body must be an object with {', '.join(sorted(known))}")
    return told


def _secret(name: str, text: object) -> Secret:
    try:
        value = base64.b64decode(str(text), validate=True)
    except (ValueError, binascii.Error) as error:
        raise UsageError(f"secret {name!r} must be base64") from error
    return Secret(name=name, value=value)
