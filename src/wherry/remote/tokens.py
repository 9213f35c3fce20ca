"""The tokens of a server: one that it was started with, or a file of named ones, hashed.

The file is TOML, a table per token::

    [tokens.alice]
    sha256 = "…64 hexadecimal digits…"
    admin = true
    expires = 2027-01-01T00:00:00Z
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from wherry.errors import UsageError
from wherry.names import nearest

PREFIX = "wherry_"
"""What every token that is made here begins with, so that a search for leaked ones can find it."""
SINGLE = "operator"
"""The name of the one token of a server that has no file of them."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_.-]{0,61}[a-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_KEYS = {"sha256", "admin", "expires"}
_LOOKS_EVERY = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is kept of a token: everything but the token."""

    name: str
    digest: str
    """SHA-256 in hex. Tokens made here are 256 random bits, so no slow hash is needed."""
    is_admin: bool = False
    """Whether it sees and touches what other tokens made."""
    expires: float | None = None
    """Unix time, seconds; None: never."""


class Tokens:
    """All tokens of a server. A file is read again when it has changed."""

    def __init__(
        self,
        *,
        single: str | None = None,
        file: Path | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``single`` is a token with every right. Raises UsageError for a file that is wrong."""
        self._file = file
        self._clock = clock
        self._looked = 0.0
        self._stamp: tuple[int, int, int] | None = None
        self._own: tuple[Token, ...] = ()
        if single is not None:
            self._own = (Token(name=SINGLE, digest=digest_of(single), is_admin=True),)
        self._filed: tuple[Token, ...] = ()
        if file is not None:
            self._stamp = _stamp(file)
            self._filed = self._read(file)

    def find(self, secret: str) -> Token | None:
        """Return the token somebody shows; None when it is unknown or expired.

        Every token is compared, each in constant time: how long it takes tells nothing.
        """
        self._refresh()
        digest, found = digest_of(secret), None
        for token in (*self._own, *self._filed):
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None or (found.expires is not None and found.expires <= self._clock()):
            return None
        return found

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._file is None or now - self._looked < _LOOKS_EVERY:
            return
        self._looked = now
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        try:
            self._filed = self._read(self._file)
        except UsageError as error:
            self._filed = ()  # nobody is let in by a file that cannot be read
            _log.error("no token of the file is taken", extra={"reason": str(error)})
        self._stamp = stamp

    def _read(self, path: Path) -> tuple[Token, ...]:
        """Read the file; raises UsageError for a token that would own what the single one made."""
        found = read_tokens(path)
        if self._own and any(token.name == SINGLE for token in found):
            raise UsageError(
                f"tokens file {path}: tokens.{SINGLE}: this is the name of --token; give another"
            )
        return found


def digest_of(secret: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Read a file of tokens. Raises UsageError, naming the file and the key."""
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"tokens file {path}: {error}") from error
    tables = data.pop("tokens", {})
    if data or not isinstance(tables, Mapping):
        raise UsageError(f"tokens file {path}: must hold tables [tokens.NAME] and nothing else")
    return tuple(_token(name, table, path=path) for name, table in tables.items())


def new_token(name: str, *, is_admin: bool = False) -> tuple[str, str]:
    """Make a token: return it, and the table of it that goes into the file.

    Raises UsageError for a name that is none.
    """
    _check_name(name)
    secret = PREFIX + secrets.token_urlsafe(32)
    table = f'[tokens."{name}"]\nsha256 = "{digest_of(secret)}"\nadmin = {str(is_admin).lower()}\n'
    return secret, table


def add_token(path: Path, name: str, *, is_admin: bool = False) -> str:
    """Make a token, add it to a file, which may be new, and return it: it is never shown again.

    Raises UsageError for a bad name, one that there is, or a file that cannot be written.
    """
    secret, table = new_token(name, is_admin=is_admin)
    known = read_tokens(path) if path.exists() else ()
    if any(token.name == name for token in known):
        raise UsageError(f"token {name!r}: there is one in {path}; remove its table first")
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(opened, "a") as file:  # noqa: PTH123 - a descriptor
            file.write(table if not known else f"\n{table}")
    except OSError as error:
        raise UsageError(f"tokens file {path}: it cannot be written: {error.strerror}") from error
    return secret


def _token(name: str, table: Any, *, path: Path) -> Token:  # noqa: ANN401 - any TOML value
    where = f"tokens file {path}: tokens.{name}"
    _check_name(name)
    if not isinstance(table, Mapping):
        raise UsageError(f"{where}: must be a table")
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"{where}.{key}: there is no such key{nearest(key, _KEYS)}")
    digest, is_admin = table.get("sha256"), table.get("admin", False)
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise UsageError(f"{where}.sha256: must be 64 hexadecimal digits in lower case")
    if not isinstance(is_admin, bool):
        raise UsageError(f"{where}.admin: must be true or false, not {is_admin!r}")
    expires = table.get("expires")
    return Token(
        name=name, digest=digest, is_admin=is_admin, expires=_instant(expires, where=where)
    )


def _instant(value: object, *, where: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    raise UsageError(f"{where}.expires: must be a date, with or without a time, not {value!r}")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"token {name!r}: a name is 1 to 63 of a-z, 0-9, '.', '_' and '-', and begins and "
            "ends with a letter or digit"
        )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
