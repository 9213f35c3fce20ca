"""The address of a broker: RabbitMQ's URI, with the options that it documents."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from wherry.errors import UsageError
from wherry.names import nearest

FORM = "amqp:// or amqps://[USER:PASSWORD@]HOST[:PORT][/VHOST][?OPTIONS]"
PORTS = {"amqp": 5672, "amqps": 5671}
PATIENCE = 20.0
"""Seconds until a broker has taken a connection, unless the address says otherwise."""
_SAME = {"cacertfile": "cafile", "auth_mechanism": "auth"}
"""RabbitMQ's name of an option to the client's."""
_FILES = ("cafile", "capath", "certfile", "keyfile")
_IGNORED = frozenset({"channel_max", "frame_max", "locale", "fail_if_no_peer_cert"})
_KNOWN = frozenset(
    {*_SAME, *_FILES, *_IGNORED, "heartbeat", "connection_timeout", "verify", "no_verify_ssl",
     "auth", "name"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a broker is, and how it is spoken to."""

    url: str = field(repr=False)
    """As the client takes it; it may hold a password."""
    shown: str
    """For people: without user, password and options."""
    place: str
    """Host, port and vhost, which are the same however the address was written."""
    patience: float = PATIENCE
    """Seconds until a connection must have been taken."""

    @classmethod
    def parse(
        cls, text: str, *, name: str, password: str | None = None, folder: Path | None = None
    ) -> Address:
        """Read an address; ``password`` is the one that it must not hold itself then.

        Files that it names start at ``folder``; None is the working directory.
        Raises :class:`UsageError` that begins with ``name``, and never shows a password.
        """
        try:
            given = urlsplit(text)
            right = given.scheme in ("amqp", "amqps") and given.hostname and given.port != 0
        except ValueError:
            right = False
        if not right:
            raise UsageError(f"{name}: it must be {FORM}")
        if password is not None:
            if given.password is not None:
                raise UsageError(f"{name}: it holds a password, and so does a file")
            place = given.netloc.rpartition("@")[2]
            login = f"{given.username or 'guest'}:{quote(password, safe='')}"
            given = given._replace(netloc=f"{login}@{place}")
        options, patience = _options(given.query, name, folder or Path())
        place = given.netloc.rpartition("@")[2]
        return cls(
            url=given._replace(query=urlencode(options)).geturl(),
            shown=f"{given.scheme}://{place}{unquote(given.path).rstrip('/')}",
            place=_place(given),
            patience=patience,
        )


def _place(given: SplitResult) -> str:
    port = given.port or PORTS[given.scheme]
    return f"{given.hostname}:{port}/{unquote(given.path[1:]) or '/'}"


def _options(query: str, name: str, folder: Path) -> tuple[dict[str, str], float]:
    """Return the options in the client's words, and the seconds to connect."""
    found: dict[str, str] = {}
    patience = PATIENCE
    for key, value in parse_qsl(query, keep_blank_values=True):
        option = _SAME.get(key, key)
        if key not in _KNOWN:
            raise UsageError(f"{name}: there is no option {key!r}{nearest(key, _KNOWN)}")
        if key == "connection_timeout":
            patience = _whole(f"{name}: {key}", value, least=1, most=600_000) / 1000
        elif key == "verify":
            found["no_verify_ssl"] = _verified(f"{name}: {key}", value)
        elif key not in _IGNORED:
            found[option] = value
    if "heartbeat" in found:
        _whole(f"{name}: heartbeat", found["heartbeat"], least=0, most=65534)
    for key in _FILES:
        if key in found:
            found[key] = str(folder / found[key])
            _check_file(f"{name}: {key}", Path(found[key]))
    _check_certificates(found, name)
    return found, patience


def _check_file(where: str, path: Path) -> None:
    try:
        path.open("rb").close() if path.is_file() else path.stat()
    except OSError as error:
        raise UsageError(f"{where}: {str(path)!r} cannot be read: {error.strerror}") from error


def _check_certificates(found: dict[str, str], name: str) -> None:
    """Raise for files that hold no certificates: the client would take the broker for away."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if path := found.get("cafile"):
        _hold(f"{name}: cafile", path, lambda: context.load_verify_locations(cafile=path))
    if path := found.get("certfile"):
        key = found.get("keyfile")
        _hold(f"{name}: certfile", path, lambda: context.load_cert_chain(path, key))
    elif "keyfile" in found:
        raise UsageError(f"{name}: keyfile: there is no certfile that it could be the key of")


def _hold(where: str, path: str, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:
        raise UsageError(
            f"{where}: {path!r} holds no certificate that can be used (PEM), or not with its key"
        ) from error


def _verified(where: str, value: str) -> str:
    if value not in ("verify_peer", "verify_none"):
        raise UsageError(f"{where}: {value!r} must be verify_peer or verify_none")
    return "1" if value == "verify_none" else "0"


def _whole(where: str, text: str, *, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise UsageError(f"{where}: {text!r} must be a whole number from {least} to {most}")
    return int(text)
