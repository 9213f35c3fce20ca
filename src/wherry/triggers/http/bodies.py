"""Documents that clients send: bounded, read once, and checked against their type."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect

from wherry.triggers.http.errors import Refused
from wherry.units import format_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.datastructures import QueryParams
    from starlette.requests import Request

T = TypeVar("T", bound=msgspec.Struct)

READ_WITHIN = 30.0
"""Seconds in which a whole document has to arrive."""
STALLS_AFTER = 60.0
"""Seconds without a byte after which a body that is stored is not waited for any more."""
_DISCARDED = 8 * 1024 * 1024
"""Bytes of a document that is too large that are read all the same, so that its sender gets to
read the answer instead of a broken connection."""
_AT = re.compile(r"(?P<what>.*?)(?: - at `(?:key in )?\$(?P<path>.*)`)?", re.DOTALL)
_KIND = re.compile(r"`([^`]+)`")
_WORDS = {
    "object": "an object", "array": "a list", "str": "text", "int": "a whole number",
    "float": "a number", "bool": "true or false", "null": "null", "bytes": "base64",
    "datetime": "a time as in 2026-01-31T12:00:00Z",
}  # fmt: skip


async def read_document(request: Request, kind: type[T], *, limit: int) -> T:
    """Read the body as JSON of this type.

    Raises :class:`Refused`: 413 for more than ``limit`` bytes, 408 when it takes too long, 400
    for what is no JSON, or another type, with the path of the field and what would be right.
    """
    return decode(await read_body(request, limit=limit), kind)


async def read_body(request: Request, *, limit: int, within: float = READ_WITHIN) -> bytes:
    """Return the whole body. Raises :class:`Refused` (413, 408)."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit + _DISCARDED:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(within):
            body = await _collected(request, limit)
    except TimeoutError:
        raise Refused(
            408, f"body: it did not arrive within {within:g} s", headers={"Connection": "close"}
        ) from None
    except ClientDisconnect:
        raise Refused(400, "body: the connection ended before it did") from None
    if len(body) > limit:
        raise _too_large(limit)
    return bytes(body)


async def flowing(request: Request, *, within: float = STALLS_AFTER) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises :class:`Refused` (408) when nothing comes for so long."""
    chunks = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(within):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(
                408, f"body: nothing of it came for {within:g} s", headers={"Connection": "close"}
            ) from None
        yield chunk


async def _collected(request: Request, limit: int) -> bytearray:
    """Return the body, or somewhat more than ``limit`` bytes of it."""
    body = bytearray()
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if len(body) <= limit:
            body += chunk
        if seen > limit + _DISCARDED:
            break
    return body


def _too_large(limit: int) -> Refused:
    return Refused(
        413, f"body: more than {format_size(limit)} are too much", headers={"Connection": "close"}
    )


def decode(body: bytes, kind: type[T]) -> T:
    """Read JSON of this type. Raises :class:`Refused` (400)."""
    if not body.strip():
        raise Refused(400, "body: it is empty; a JSON object is right")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(400, explain(error, whole="body")) from None
    except RecursionError:
        raise Refused(400, "body: it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(400, f"body: it is no JSON: {error}") from None


def read_query(params: QueryParams, kind: type[T], *, wrong: int = 400) -> T:
    """Read the query as fields of this type; an empty value counts as absent.

    Raises :class:`Refused` with the status ``wrong``.
    """
    fields = msgspec.structs.fields(kind)
    given: dict[str, Any] = {}
    for field in fields:
        values = params.getlist(field.encode_name)
        if len(values) > 1:
            raise Refused(wrong, f"{field.encode_name}: it came {len(values)} times; once is right")
        if values and values[0]:
            given[field.encode_name] = values[0]
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(wrong, explain(error, whole="query")) from None


def explain(error: msgspec.ValidationError, *, whole: str) -> str:
    """Say where a document is wrong, and what would be right: ``limits.memory: expected text``."""
    match = _AT.fullmatch(str(error))
    what, path = (match["what"], match["path"]) if match else (str(error), None)
    missing = re.fullmatch(r"Object missing required field `(.*)`", what)
    inside = (path or "").lstrip(".")
    if missing:
        name = f"{inside}.{missing[1]}" if inside else missing[1]
        return f"{name}: it is missing"
    what = _KIND.sub(lambda found: _words(found[1]), what)
    return f"{inside or whole}: {what[:1].lower()}{what[1:]}"


def _words(kinds: str) -> str:
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds.split(" | "))
