"""Who asks, and whether they may: basic auth, bearer tokens, failed logins, rates."""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wherry.errors import UsageError, WherryError
from wherry.service.outcome import status_of_error
from wherry.triggers.http.errors import Refused, plain
from wherry.triggers.http.origins import SAFE, Origins
from wherry.triggers.http.scopes import ADMIN, INVOKE, covers, invoke
from wherry.triggers.http.tokens import PREFIX, TokenStore
from wherry.web.rates import FAILED_LOGINS, Rate, RateLimit, client_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.responses import Response
    from starlette.types import Scope

    from wherry.functions.model import Deployed
    from wherry.triggers.http.passwords import BasicUser

CALLER = "wherry.caller"
"""Where the :class:`Caller` is in an ASGI scope, once known."""
SCHEME = "wherry.scheme"
"""Where the scheme of a login is in an ASGI scope, once the login was taken out of its headers."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="Restricted"'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who a request comes from, as far as it is known."""

    name: str
    """``token NAME``, ``user NAME`` or ``anybody``."""
    scopes: tuple[str, ...]
    ambient: bool
    """Whether a browser says so by itself, whatever page it shows."""

    def may(self, needs: str) -> bool:
        """Whether one of its scopes includes this one."""
        return covers(self.scopes, needs)


ANYBODY = Caller(name="anybody", scopes=(ADMIN,), ambient=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthOptions:
    """What the guard asks for."""

    no_auth: bool = False
    """Everybody may do everything; see :func:`check_no_auth`."""
    calls: bool = False
    """Every call needs ``invoke:FUNCTION``, not only those of functions that ask for it."""
    origins: Origins = field(default_factory=Origins)
    call_rate: Rate | None = None
    """Of calls of functions, for each client."""
    system_rate: Rate | None = None
    """Of everything else that is guarded, for each client."""
    failed_logins: Rate | None = FAILED_LOGINS
    """Of wrong passwords and tokens, for each address."""


class Auth:
    """The guard of one gateway; see :class:`wherry.triggers.http.parts.Guard`."""

    def __init__(
        self,
        options: AuthOptions,
        *,
        basic: BasicUser | None = None,
        tokens: TokenStore | None = None,
    ) -> None:
        self.options = options
        self._basic = basic
        self._tokens = tokens
        self._calls = _limit(options.call_rate)
        self._system = _limit(options.system_rate)
        self._failures = _limit(options.failed_logins)
        self._guesses = _limit(options.failed_logins)

    async def refusal(self, scope: Scope, *, needs: str) -> Response | None:
        """Return the answer (401, 403, 429) for a caller who may not, None for one who may."""
        return _response(lambda: self._require(scope, needs))

    async def call_refusal(self, scope: Scope, deployed: Deployed) -> Response | None:
        """Return the answer for a caller who may not call this function, None for one who may.

        Rates are counted here, so it is asked once for each call. A login that is meant for this
        gateway is taken out of the headers: a function is not to know who deploys it.
        """
        return _response(lambda: self._admit_call(scope, deployed))

    async def knock(self, scope: Scope) -> Response | None:
        """Check what concerns every request, before it is known what it asks for."""
        return _response(lambda: self._knock(scope))

    async def system_refusal(self, scope: Scope, *, needs: str) -> Response | None:
        """Return the answer for a caller who may not use this part of the gateway."""
        return _response(lambda: self._admit_system(scope, needs))

    def caller(self, scope: Scope) -> Caller:
        """Return who asks; raises :class:`Refused` (401, 429) for who does not say, or lies."""
        known = scope.get(CALLER)
        if isinstance(known, Caller):
            return known
        found = ANYBODY if self.options.no_auth else self._authenticated(scope)
        scope[CALLER] = found
        return found

    def _knock(self, scope: Scope) -> None:
        if self.options.no_auth and not _unix(scope):
            self.options.origins.check_host(scope)

    def _admit_system(self, scope: Scope, needs: str) -> None:
        self._require(scope, needs)
        self._count(self._system, scope)

    def _admit_call(self, scope: Scope, deployed: Deployed) -> None:
        guarded = self.options.no_auth or self.options.calls or deployed.settings.auth
        if guarded:
            self._require(scope, invoke(deployed.qualified))
        self._count(self._calls, scope)
        scheme, given = _authorization(scope)
        checked = guarded and not self.options.no_auth
        if scheme and (checked or self._is_ours(scope, scheme, given)):
            scope[SCHEME] = scheme
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"authorization"]

    def _is_ours(self, scope: Scope, scheme: str, given: str) -> bool:
        """Whether a login that nobody asked for is one of this gateway, not the function's."""
        if scheme == "bearer":
            return given.startswith(PREFIX)
        name, password = _decoded(given) if scheme == "basic" else ("", "")
        if password.startswith(PREFIX):
            return True
        if self._basic is None or name != self._basic.name:
            return False
        # A function that tells what it got would tell a guesser which password was right.
        if self._guesses is not None and self._guesses.wait(_address(scope)):
            return False
        if self._basic.matches(name, password):
            return True
        if self._guesses is not None:
            self._guesses.hit(_address(scope))
        return False

    def _require(self, scope: Scope, needs: str) -> None:
        caller = self.caller(scope)
        changes = needs.startswith(INVOKE) or scope.get("method", "GET") not in SAFE
        if caller.ambient and (changes or scope["type"] == "websocket"):
            self.options.origins.check_page(scope)
        if not caller.may(needs):
            has = ", ".join(caller.scopes)
            raise Refused(403, f"this needs the scope {needs!r}; the {caller.name} has {has}")

    def _count(self, limit: RateLimit | None, scope: Scope) -> None:
        if limit is not None and (wait := limit.hit(self._key(scope))):
            raise _too_many(wait, "too many requests")

    def _key(self, scope: Scope) -> str:
        known = scope.get(CALLER)
        token = isinstance(known, Caller) and not known.ambient
        return known.name if token and isinstance(known, Caller) else _address(scope)

    def _authenticated(self, scope: Scope) -> Caller:
        scheme, given = _authorization(scope)
        caller = None
        if scheme == "bearer":
            caller = self._by_token(given, ambient=False)
        elif scheme == "basic":
            caller = self._by_password(scope, given)
        if caller is not None:
            return caller
        if not scheme:
            raise Refused(
                401, "this needs a user and password, or a token of `wherry token create`",
                headers=CHALLENGE,
            )  # fmt: skip
        if self._failures is not None and (wait := self._failures.hit(_address(scope))):
            raise _too_many(wait, "too many failed logins from this address")
        raise Refused(401, f"the {_SHOWN.get(scheme, scheme)} is not right", headers=CHALLENGE)

    def _by_token(self, secret: str, *, ambient: bool) -> Caller | None:
        # 256 random bits cannot be guessed, so a right token is right however many were wrong.
        token = self._tokens.find(secret) if self._tokens is not None else None
        if token is None:
            return None
        return Caller(name=f"token {token.name}", scopes=token.scopes, ambient=ambient)

    def _by_password(self, scope: Scope, given: str) -> Caller | None:
        name, password = _decoded(given)
        if password.startswith(PREFIX):  # for programs that know basic auth alone
            return self._by_token(password, ambient=True)
        if self._failures is not None and (wait := self._failures.wait(_address(scope))):
            raise _too_many(wait, "too many failed logins from this address")
        if self._basic is None or not self._basic.matches(name, password):
            return None
        return Caller(name=f"user {name}", scopes=(ADMIN,), ambient=True)


_SHOWN = {"bearer": "token", "basic": "user or password"}


def check_no_auth(listen: str) -> None:
    """Raise :class:`UsageError` unless ``listen`` is loopback or a unix socket.

    ``listen`` is ``HOST:PORT``, ``[V6]:PORT``, ``unix:PATH`` or a path.
    """
    if listen.startswith(("unix:", "/", "./")) or _loopback(_host_of(listen)):
        return
    raise UsageError(
        f"--no-auth: {listen!r} can be reached from other machines; listen on 127.0.0.1, [::1] "
        "or a unix socket, or leave --no-auth out"
    )


def _host_of(listen: str) -> str:
    if listen.startswith("["):
        return listen[1:].partition("]")[0]
    return listen.rpartition(":")[0] if listen.count(":") == 1 else listen


def _loopback(host: str) -> bool:
    import ipaddress

    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback


def _response(check: Callable[[], None]) -> Response | None:
    try:
        check()
    except Refused as refused:
        return refused.response()
    except WherryError as error:  # such as tokens that cannot be read: nobody is let in
        return plain(status_of_error(error), str(error))
    return None


def _limit(rate: Rate | None) -> RateLimit | None:
    return None if rate is None else RateLimit(rate)


def _too_many(wait: float, what: str) -> Refused:
    seconds = math.ceil(wait)
    return Refused(429, f"{what}; again in {seconds} s", headers={"Retry-After": str(seconds)})


def _authorization(scope: Scope) -> tuple[str, str]:
    values = [value for key, value in scope["headers"] if key == b"authorization"]
    if len(values) > 1:
        raise Refused(400, f"authorization: it came {len(values)} times; once is right")
    scheme, _, given = (values[0] if values else b"").decode("latin-1").strip().partition(" ")
    return scheme.lower(), given.strip()


def _decoded(given: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(given, validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return "", ""
    name, _, password = text.partition(":")
    return name, password


def _unix(scope: Scope) -> bool:
    server = scope.get("server")
    return server is not None and server[1] is None


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client_key(client[0] if client else None)
