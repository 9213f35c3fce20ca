"""What forms send: fields as text, and at most one file, each bounded."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qsl

from wherry.errors import TooLarge, UsageError
from wherry.ui.multipart import Multipart
from wherry.units import format_size

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_FIELDS = 1024 * 1024
"""Bytes of all fields but the file."""
_MOST_FIELDS = 200
_IN_MEMORY = 256 * 1024
_PATIENCE = 30.0
"""Seconds without anything that is sent."""
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes that were sent; iterate it for them, as often as you like."""

    size: int
    _file: IO[bytes]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at = 0
        while at < self.size:
            self._file.seek(at)
            chunk = self._file.read(_CHUNK)
            at += len(chunk)
            yield chunk


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form; lines end in a line feed, as programs expect, not as browsers send."""

    fields: Mapping[str, str]
    file: Content | None = None
    """None when none was chosen."""

    def text(self, name: str) -> str:
        """Return a field, empty when it is not there."""
        return self.fields.get(name, "")


async def read_fields(request: Request) -> Form:
    """Read a form without a file. Raises :class:`UsageError`, :class:`TooLarge`."""
    async with read_form(request, max_file=0) as form:
        return Form(form.fields)


@asynccontextmanager
async def read_form(request: Request, *, max_file: int) -> AsyncIterator[Form]:
    """Read a form; its file is there as long as the block is.

    Raises :class:`TooLarge` for a file of more than ``max_file`` bytes, :class:`UsageError` for
    what is no form.
    """
    kind, boundary = _content_type(request)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        if kind == "multipart/form-data":
            yield await _parts(request, boundary, file=file, max_file=max_file)
        elif kind in ("application/x-www-form-urlencoded", ""):
            yield Form(await _pairs(request))
        else:
            raise UsageError(f"Content-Type: {kind!r} is no form")


async def _pairs(request: Request) -> dict[str, str]:
    body = bytearray()
    async for chunk in _chunks(request):
        body += chunk
        if len(body) > MAX_FIELDS:
            raise _too_large("the form", MAX_FIELDS)
    try:
        pairs = parse_qsl(
            body.decode(errors="replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise UsageError(f"the form: {error}") from error
    return {name: _lines(value) for name, value in pairs}


async def _parts(request: Request, boundary: str, *, file: IO[bytes], max_file: int) -> Form:
    parser = Multipart(boundary)
    fields: dict[str, bytearray] = {}
    size, held, chosen = 0, 0, False
    async for chunk in _chunks(request):
        for part, data in parser.feed(chunk):
            if part.filename is not None:
                chosen = chosen or bool(part.filename) or bool(data)
                size += len(data)
                if size > max_file:
                    raise _too_large("the file", max_file)
                file.write(data)
                continue
            held += len(data) + len(part.name)
            if held > MAX_FIELDS or len(fields) > _MOST_FIELDS:
                raise _too_large("the form", MAX_FIELDS)
            fields.setdefault(part.name, bytearray()).extend(data)
    parser.check_end()
    texts = {name: _lines(value.decode(errors="replace")) for name, value in fields.items()}
    return Form(texts, Content(size, file) if chosen else None)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(_PATIENCE):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise UsageError(f"the form: nothing came for {_PATIENCE:g} s") from error
        if chunk is None:
            return
        yield chunk


def _content_type(request: Request) -> tuple[str, str]:
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    boundary = header.get_param("boundary", "")
    kind = header.get_content_type() if request.headers.get("content-type") else ""
    return kind, boundary if isinstance(boundary, str) else ""


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")


def _too_large(what: str, limit: int) -> TooLarge:
    return TooLarge(f"{what}: more than {format_size(limit)} are too much for a form of this page")
