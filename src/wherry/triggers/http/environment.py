"""What a function is told of the request that calls it: ``Http_*`` variables."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from wherry.errors import UsageError

_DROPPED = frozenset({b"proxy", b"method", b"path", b"query"})
"""``Proxy`` would be read as a proxy to use (CVE-2016-5386); the others are ours to say."""


def http_environment(scope: Mapping[str, Any], *, path: str) -> dict[str, str]:
    """Return the environment of one call, from an ASGI scope.

    ``Http_<Header>`` with dashes as underscores and each word capitalised, the first value of a
    header that came several times; ``Http_Method``, ``Http_Path`` (what follows the function's
    name), ``Http_Query`` when there is one. Raises :class:`UsageError` for a value with NUL or a
    newline. As https://github.com/openfaas/of-watchdog has them.
    """
    found = header_variables(scope["headers"])
    found |= {"Http_Method": str(scope["method"]), "Http_Path": path}
    if query := bytes(scope.get("query_string", b"")):
        found["Http_Query"] = text_of(query)
    for name, value in found.items():
        if any(mark in value for mark in "\0\r\n"):
            raise UsageError(f"{name}: a value with NUL or a newline cannot be handed on")
    return found


def header_variables(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the variables of headers alone; the first of several values counts."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name not in _DROPPED:
            found.setdefault(variable_of(name), text_of(value))
    return found


@functools.lru_cache(1024)
def variable_of(name: bytes) -> str:
    """Return the variable of a header: ``x-forwarded-for`` is ``Http_X_Forwarded_For``.

    An underscore of the header's own starts no word, so that it is told from a dash.
    """
    words = name.decode("latin-1").split("-")
    return "Http_" + "_".join(word[:1].upper() + word[1:] for word in words)


def text_of(value: bytes) -> str:
    """Return the value of a header as text: UTF-8, or else Latin-1, as RFC 9110 has it."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
