"""Bearer tokens, kept hashed in one file that the command line and running servers share."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError
from wherry.functions.names import check_name
from wherry.images.files import write_atomic
from wherry.images.locks import locked
from wherry.names import nearest
from wherry.triggers.http.scopes import parse_scopes

PREFIX = "wherry_"
"""What every token begins with, so that a search for leaked ones can find it."""

_Stamp = tuple[int, int, int, int]


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a token: everything but the token."""

    name: str
    digest: str
    """SHA-256 of the token, in hex. It is 256 random bits, so no slow hash is needed."""
    scopes: tuple[str, ...]
    created: float
    """Unix time, seconds."""
    expires: float | None = None
    """Unix time, seconds; None: never."""

    def expired(self, now: float) -> bool:
        """Whether it is no longer good."""
        return self.expires is not None and self.expires <= now


class TokenStore:
    """The tokens of one state directory.

    What another process changes is seen by the next :meth:`find`: the file is replaced as a
    whole, so one ``stat`` tells.
    """

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = directory / "tokens.json"
        self._clock = clock
        self._stamp: _Stamp | None = None
        self._tokens: dict[str, Token] = {}

    def list(self) -> list[Token]:
        """Return all tokens by name, expired ones included. Raises :class:`EngineError`."""
        self._refresh()
        return sorted(self._tokens.values(), key=lambda token: token.name)

    def find(self, secret: str) -> Token | None:
        """Return the token that somebody shows; None when it is unknown or expired.

        Raises :class:`EngineError` when the file cannot be read: then nobody is let in.
        """
        self._refresh()
        digest = _digest(secret)
        token = self._tokens.get(digest)
        if token is None or not hmac.compare_digest(token.digest, digest):
            return None
        return None if token.expired(self._clock()) else token

    def create(self, name: str, *, scopes: Iterable[str], lifetime: float | None = None) -> str:
        """Make a token and return it; it is never shown again. ``lifetime`` is in seconds.

        Raises :class:`UsageError` for a bad name, scope or lifetime, :class:`AlreadyExists`.
        """
        check_name(name, field="token")
        granted = parse_scopes(scopes)
        if lifetime is not None and lifetime <= 0:
            raise UsageError(f"expires: {lifetime!r} must be more than 0 seconds")
        now = self._clock()
        secret = PREFIX + secrets.token_urlsafe(32)
        made = Token(
            name=name,
            digest=_digest(secret),
            scopes=granted,
            created=now,
            expires=None if lifetime is None else now + lifetime,
        )
        with self._changing() as tokens:
            if name in tokens:
                raise AlreadyExists(f"token: there is one called {name!r}; remove it first")
            tokens[name] = made
        return secret

    def remove(self, name: str) -> None:
        """Make a token useless at once. Raises :class:`NotFound`."""
        with self._changing() as tokens:
            if name not in tokens:
                raise NotFound(f"token: there is no {name!r}{nearest(name, tokens)}")
            del tokens[name]

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._path.with_suffix(".lock")):
            tokens = {token.name: token for token in self.list()}
            yield tokens
            write_atomic(self._path, msgspec.json.encode(list(tokens.values())))

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp is not None and stamp == self._stamp:
            return
        self._tokens = {token.digest: token for token in self._read()} if stamp else {}
        self._stamp = stamp

    def _read(self) -> Iterable[Token]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=tuple[Token, ...])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EngineError(f"the tokens in {self._path} cannot be read: {error}") from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, at every request
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
