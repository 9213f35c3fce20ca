"""How a registry is told who we are: basic authentication, or a token from its token service.

https://distribution.github.io/distribution/spec/auth/token/ (GET, anonymous or with a password)
and .../oauth/ (POST, with an identity token).
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from wherry.errors import AuthenticationRequired, ImageError, RegistryError
from wherry.images.challenge import Challenge, parse_challenges, strongest

if TYPE_CHECKING:
    from wherry.images.credentials import Credentials, CredentialSource
    from wherry.images.transport import Response, Transport

_ANSWER_BYTES = 1024 * 1024
_DEFAULT_LIFE = 60.0
_MARGIN = 10.0
"""Seconds before its end at which a token is no longer used."""
_log = logging.getLogger(__name__)


class AnonymousRefused(AuthenticationRequired):
    """The token service gives nothing to somebody it does not know."""


@dataclass(frozen=True, slots=True)
class _Token:
    header: str
    expires: float
    scope: str


class Authenticator:
    """The Authorization header for one registry and one scope, fetched once for all requests."""

    def __init__(
        self,
        transport: Transport,
        source: CredentialSource,
        *,
        registry: str,
        scope: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._source = source
        self._registry = registry
        self._scope = scope
        self._clock = clock
        self._base = ""
        self._challenge: Challenge | None = None
        self._token: _Token | None = None
        self._credentials: Credentials | None = None
        self._asked = False
        self._trouble: ImageError | None = None
        self._lock = asyncio.Lock()

    @property
    def username(self) -> str | None:
        """Who we say we are; None for anonymous."""
        return (self._credentials.username or "a token") if self._credentials else None

    def learn(self, challenges: Sequence[str], *, base: str) -> None:
        """Take the challenges of the registry's first answer; none means anybody may.

        ``base`` is the URL that answered.
        """
        self._base = base
        self._challenge = strongest(parse_challenges(challenges))
        if challenges and self._challenge is None:
            raise RegistryError(
                f"{self._registry} wants authentication by {challenges[0].split(' ')[0]!r}; "
                "only Bearer and Basic are known"
            )

    async def header(self) -> str | None:
        """Return the Authorization to send; raises AuthenticationRequired when there is none."""
        async with self._lock:
            if self._challenge is None:
                return None
            if self._token is None or self._clock() >= self._token.expires:
                self._token = await self._obtain(self._challenge)
            return self._token.header

    async def renew(self, challenges: Sequence[str], *, refused: str | None) -> bool:
        """Take note that a header was refused; returns whether another one is worth a try."""
        async with self._lock:
            if self._token and self._token.header != refused:
                return True  # somebody else renewed it meanwhile
            found = strongest(parse_challenges(challenges))
            if found is None or (found.scheme == "basic" and refused is not None):
                return False
            self._challenge, self._token = found, None
            self._scope = found.parameters.get("scope") or self._scope
            return True

    def refusal(self) -> AuthenticationRequired:
        """Return the error for a registry that does not accept what we sent."""
        if self._trouble:
            return AuthenticationRequired(f"{self._registry} wants credentials; {self._trouble}")
        if self.username is None:
            return AuthenticationRequired(
                f"{self._registry} wants credentials; run `wherry login {self._registry}`"
            )
        return AuthenticationRequired(
            f"{self._registry} does not accept the credentials of {self.username!r}; "
            f"run `wherry login {self._registry}` again"
        )

    async def _obtain(self, challenge: Challenge) -> _Token:
        credentials = await self._find()
        if credentials and credentials.kind == "bearer":
            return _Token(f"Bearer {credentials.secret}", float("inf"), "")
        if challenge.scheme == "bearer":
            return await self._transport.wire.retries.run(
                lambda: self._ask_service(challenge, credentials)
            )
        if credentials is None or credentials.kind != "password":
            raise self.refusal()
        return _Token(basic(credentials), float("inf"), "")

    async def _find(self) -> Credentials | None:
        """Look for credentials once; trouble with them only counts when they turn out needed."""
        if not self._asked:
            self._asked = True
            try:
                self._credentials = await self._source.find(self._registry)
            except ImageError as error:
                _log.warning("credentials could not be read", extra={"reason": str(error)})
                self._trouble = error
        return self._credentials

    async def _ask_service(self, challenge: Challenge, credentials: Credentials | None) -> _Token:
        asked = self._clock()
        response = await self._send(challenge, credentials)
        async with response:
            if response.status in {400, 401, 403} and credentials is None and not self._trouble:
                raise AnonymousRefused(str(self.refusal()))
            if response.status in {400, 401, 403}:
                raise self.refusal()
            if response.status != 200:
                raise await response.error("a token")
            answer = _object(await response.read(_ANSWER_BYTES), host=response.host)
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or not token.isprintable():
            raise RegistryError(f"{response.host} answered without a token")
        life = answer.get("expires_in")
        seconds = float(life) if isinstance(life, int | float) and life > 0 else _DEFAULT_LIFE
        return _Token(f"Bearer {token}", asked + max(seconds - _MARGIN, seconds / 2), self._scope)

    async def _send(self, challenge: Challenge, credentials: Credentials | None) -> Response:
        realm = challenge.parameters["realm"]
        service = challenge.parameters.get("service", "")
        headers = {"Accept": "application/json"}
        if credentials and credentials.kind == "identity":
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credentials.secret,
                "service": service,
                "scope": self._scope,
                "client_id": "wherry",
            }
            return await self._transport.open(realm, headers=headers, form=form, origin=self._base)
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in self._scope.split()]
        if credentials:
            query += [("account", credentials.username), ("client_id", "wherry")]
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query, safe=':/,')}"
        authorization = basic(credentials) if credentials else None
        return await self._transport.open(
            url, headers=headers, authorization=authorization, origin=self._base
        )


def basic(credentials: Credentials) -> str:
    """Return the header value of basic authentication (RFC 7617, in UTF-8 or as it came)."""
    pair = f"{credentials.username}:{credentials.secret}"
    return "Basic " + base64.b64encode(pair.encode(errors="surrogateescape")).decode()


def _object(body: bytes, *, host: str) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise RegistryError(f"{host} did not answer the request for a token with JSON")
    return answer
