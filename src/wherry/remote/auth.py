"""Who asks: a token, as ``Basic`` with the base64 of the token alone, or as ``Bearer``."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from wherry.remote.faults import Fault
from wherry.remote.model import Caller
from wherry.web.rates import FAILED_LOGINS, Rate, RateLimit, client_key

if TYPE_CHECKING:
    from wherry.remote.tokens import Tokens


class Auth:
    """Lets callers in, and lets nobody guess.

    After ten wrong tokens in a minute every token from that address is refused for a while.
    """

    def __init__(self, tokens: Tokens, *, failed: Rate | None = FAILED_LOGINS) -> None:
        self._tokens = tokens
        self._failures = None if failed is None else RateLimit(failed)

    def caller(self, headers: Iterable[tuple[bytes, bytes]], *, address: str | None) -> Caller:
        """Return who asks; raises :class:`Fault`: 401 for a wrong token, 429 for too many."""
        key = client_key(address)
        if self._failures is not None and (wait := self._failures.wait(key)):
            raise _slow_down(wait)
        given = _token_of([value for name, value in headers if name == b"authorization"])
        found = None if given is None else self._tokens.find(given)
        if found is not None:
            return Caller(name=found.name, is_admin=found.is_admin, address=address)
        if self._failures is not None and given is not None:
            self._failures.hit(key)
        raise Fault(
            "Unauthorized", status=401, headers={"WWW-Authenticate": "Bearer"}, is_plain=True
        )


def _slow_down(wait: float) -> Fault:
    seconds = str(math.ceil(wait))
    message = "Too many wrong tokens, please try again later."
    return Fault(message, status=429, headers={"Retry-After": seconds}, is_plain=True)


def _token_of(values: list[bytes]) -> str | None:
    """Return what was given as a token; None for nothing. What is no base64 is a wrong token."""
    if len(values) != 1:
        return None
    scheme, _, given = values[0].strip().partition(b" ")
    given = given.strip()
    if scheme.lower() == b"bearer":
        return given.decode("utf-8", "surrogateescape")
    if scheme.lower() != b"basic":
        return None
    try:
        return base64.b64decode(given, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""
