"""Where an engine is: parsed once, from the forms people write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from wherry.errors import UsageError

DEFAULT_SOCKET = "/var/run/docker.sock"
PLAIN_PORT = 2375
TLS_PORT = 2376
FORMS = (
    "docker:, docker:///path.sock, docker+tcp://host:port, "
    "docker+tls://host:port?ca=…&cert=…&key=… or docker+ssh://user@host"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Whom to trust, and who we are; None is the system's trust, or no certificate of ours."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify: bool = True
    """False only when a context of the docker command says so."""

    @classmethod
    def in_directory(cls, directory: Path, *, verify: bool = True) -> Tls:
        """Return what a directory of the docker command has: ``ca.pem, cert.pem, key.pem``."""
        files = {name: directory / f"{name}.pem" for name in ("ca", "cert", "key")}
        found = {name: path for name, path in files.items() if path.is_file()}
        return cls(verify=verify, **found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an engine listens."""

    scheme: Literal["unix", "tcp", "ssh"]
    host: str = ""
    port: int | None = None
    path: str = ""
    """Of the socket, for ``unix``."""
    tls: Tls | None = None

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{'tls' if self.tls else self.scheme}://{host}{port}"


def parse_spec(spec: str) -> Address | None:
    """Read ``docker…`` as a user writes it; None is ``docker:``, where the environment decides.

    Raises :class:`UsageError` for anything that is none of the forms.
    """
    if spec in ("docker", "docker:"):
        return None
    url = _split(spec)
    match url.scheme:
        case "docker" if "://" in url.path:
            return parse_host(spec.removeprefix("docker:"))
        case "docker" | "docker+unix" if not url.netloc and url.path.startswith("/"):
            return Address(scheme="unix", path=unquote(url.path))
        case "unix" | "tcp" | "ssh":
            return parse_host(spec)
        case "docker+tcp":
            return _tcp(url, spec=spec, tls=None)
        case "docker+tls":
            return _tcp(url, spec=spec, tls=_tls_of(url, spec=spec))
        case "docker+ssh":
            return _ssh(url, spec=spec)
    raise UsageError(f"engine {spec!r} is not an address of a Docker engine; write {FORMS}")


def parse_host(host: str, *, tls: Tls | None = None) -> Address:
    """Read a ``DOCKER_HOST``: ``unix://…``, ``tcp://…``, ``ssh://…``; raises UsageError."""
    url = _split(host)
    match url.scheme:
        case "unix" if url.path and not url.netloc:
            return Address(scheme="unix", path=unquote(url.path))
        case "tcp" | "http" | "https":
            return _tcp(url, spec=host, tls=tls)
        case "ssh":
            return _ssh(url, spec=host)
    raise UsageError(f"{host!r} is not unix:///path, tcp://host:port or ssh://host")


def _split(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError as error:
        raise UsageError(f"engine {text!r}: {error}") from error
    return url


def _tcp(url: SplitResult, *, spec: str, tls: Tls | None) -> Address:
    if not url.hostname or url.path.strip("/"):
        raise UsageError(f"engine {spec!r} needs a host and a port, and no path")
    port = url.port or (TLS_PORT if tls else PLAIN_PORT)
    return Address(scheme="tcp", host=url.hostname, port=port, tls=tls)


def _ssh(url: SplitResult, *, spec: str) -> Address:
    if not url.hostname or url.hostname.startswith("-") or url.path.strip("/") or url.password:
        raise UsageError(f"engine {spec!r} needs [user@]host[:port], no password and no path")
    user = unquote(url.username) if url.username else ""
    if user.startswith("-"):
        raise UsageError(f"engine {spec!r}: {user!r} is not a user name")
    host = f"{user}@{url.hostname}" if user else url.hostname
    return Address(scheme="ssh", host=host, port=url.port)


def _tls_of(url: SplitResult, *, spec: str) -> Tls:
    query: Mapping[str, list[str]] = parse_qs(url.query, keep_blank_values=True)
    for name, values in query.items():
        if name not in ("ca", "cert", "key") or len(values) != 1 or not values[0]:
            raise UsageError(f"engine {spec!r}: {name!r} is not one path as ca, cert or key")
    files = {name: Path(values[0]).expanduser() for name, values in query.items()}
    if ("cert" in files) != ("key" in files):
        raise UsageError(f"engine {spec!r}: cert and key only go together")
    return Tls(ca=files.get("ca"), cert=files.get("cert"), key=files.get("key"))
