"""Where the gateway is, how it is trusted, and what we show it to be let in."""

from __future__ import annotations

import base64
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from wherry import config
from wherry.cli import standard
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser

DEFAULT = "http://127.0.0.1:8080"
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_KEYS = ("token", "user", "password", "ca_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One gateway."""

    text: str
    """As people know it: without a password."""
    host: str = "localhost"
    port: int = 80
    socket: str | None = None
    """Path of a unix socket, in place of host and port."""
    prefix: str = ""
    """What stands before every path, where the gateway is behind a proxy that wants it."""
    tls: bool = False
    verify: bool = True
    ca_file: str | None = None
    authorization: str | None = field(default=None, repr=False)

    @property
    def host_header(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _PORTS["https" if self.tls else "http"]
        return host if self.port == usual or self.socket else f"{host}:{self.port}"


def declare(parser: Parser) -> None:
    """Declare which gateway it is and how it lets us in."""
    parser.section("Gateway")
    parser.value("--gateway", metavar="URL",
                 help=f"its address, or unix:PATH; WHERRY_GATEWAY, else {DEFAULT}")  # fmt: skip
    parser.value("--token-file", metavar="FILE", help="holds the token; or set WHERRY_TOKEN")
    parser.value("--ca-file", metavar="FILE", help="who is trusted to certify it (PEM)")
    parser.flag("--tls-no-verify", help="do not check its certificate")


def address_of(args: argparse.Namespace) -> Address:
    """Return the gateway that the options, the environment or the default names."""
    settings = config.settings()
    text = args.gateway or settings.gateway or DEFAULT
    where = "--gateway" if args.gateway else "WHERRY_GATEWAY"
    bare, login = _without_login(text)
    known = _known(settings.config_dir / "gateways.toml", bare)
    if args.token_file:
        login = f"Bearer {_token(Path(args.token_file))}"
    elif settings.token:
        login = f"Bearer {settings.token}"
    return parse(
        bare,
        name=where,
        authorization=login or _stored_login(known),
        verify=not args.tls_no_verify,
        ca_file=args.ca_file or known.get("ca_file"),
    )


def parse(
    text: str,
    *,
    name: str = "--gateway",
    authorization: str | None = None,
    verify: bool = True,
    ca_file: str | None = None,
) -> Address:
    """Read an address without a login; raises :class:`UsageError`, which says ``name``."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        path = path.removeprefix("//") if path.startswith("//") else path
        if not path:
            raise UsageError(f"{name}: {text!r} must be unix:PATH")
        return Address(text=text, socket=path, authorization=authorization)
    url = _split(text, name=name)
    tls = url.scheme == "https"
    address = Address(
        text=text,
        host=url.hostname or "",
        port=url.port or _PORTS[url.scheme],
        prefix=url.path.rstrip("/"),
        tls=tls,
        verify=verify,
        ca_file=ca_file,
        authorization=authorization,
    )
    if authorization and not tls and address.host not in _LOOPBACK:
        standard.say(f"wherry: {text} is not encrypted: whoever listens can read the login")
    return address


def _split(text: str, *, name: str) -> SplitResult:
    try:
        url = urlsplit(text if "://" in text else f"http://{text}")
        port = url.port
    except ValueError as error:
        raise UsageError(f"{name}: {text!r} is no address: {error}") from error
    if url.scheme not in _PORTS or not url.hostname or url.query or url.fragment or port == 0:
        raise UsageError(
            f"{name}: {text!r} must be http://HOST[:PORT], https://HOST[:PORT] or unix:PATH"
        )
    return url


def _without_login(text: str) -> tuple[str, str | None]:
    """Take ``user:password@`` out of an address, and return both."""
    scheme, mark, rest = text.partition("://")
    authority, slash, path = rest.partition("/")
    login, at, host = authority.rpartition("@")
    if not mark or not at:
        return text, None
    user, _, password = login.partition(":")
    return f"{scheme}://{host}{slash}{path}", _basic(unquote(user), unquote(password))


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _token(path: Path) -> str:
    token = path.read_text().strip()
    if not token or not token.isprintable() or " " in token:
        raise UsageError(f"--token-file: {path} does not hold a token")
    return token


def _stored_login(known: dict[str, str]) -> str | None:
    if "token" in known:
        return f"Bearer {known['token']}"
    return _basic(known["user"], known.get("password", "")) if "user" in known else None


def _known(path: Path, address: str) -> dict[str, str]:
    """Return what the user keeps about a gateway; raises :class:`UsageError`."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"{path} can be read by others; run `chmod 600 {path}`")
    found = _tables(text, path).get(address.rstrip("/"), {})
    if not isinstance(found, dict):
        raise UsageError(f'{path}: {address!r} must be a table: ["{address}"]')
    for key, value in found.items():
        if key not in _KEYS or not isinstance(value, str):
            from wherry.names import nearest

            raise UsageError(f"{path}: {key!r} of {address!r} is no text{nearest(key, _KEYS)}")
    return found


def _tables(text: str, path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return {name.rstrip("/"): table for name, table in tomllib.loads(text).items()}
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error
