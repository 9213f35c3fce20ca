"""The options of a remote container API: on the command line and in ``DS_*``, one table for both.

A flag counts before the environment, and that before the default.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wherry.errors import UsageError
from wherry.remote.policy import AllowedMount
from wherry.remote.settings import MIB, PORT, RemoteSettings
from wherry.remote.words import flag as read_flag
from wherry.units import parse_duration, parse_size

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
_DAY = 86400.0
_CERTS = Path("/certs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option."""

    field: str
    """Of :class:`RemoteSettings`, and the option's name: ``--low_burst``, ``DS_LOW_BURST``."""
    help: str
    metavar: str = ""
    """Empty for an option that is there or not."""
    read: Callable[..., Any] = str
    section: str = ""
    others: tuple[str, ...] = ()
    """Further spellings."""

    @property
    def names(self) -> tuple[str, ...]:
        """How it is written on the command line; the contract's spelling last."""
        dashed = f"--{self.field.replace('_', '-')}"
        own = f"--{self.field}"
        return (*self.others, own) if dashed == own else (dashed, *self.others, own)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"DS_{self.field.upper()}"


def _number(least: int, most: int) -> Callable[..., int]:
    def read(text: str, *, name: str) -> int:
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
        if not least <= number <= most:
            raise UsageError(f"{name}: {text!r} must be a whole number from {least} to {most}")
        return number

    return read


def _scaled(factor: float) -> Callable[..., float]:
    def read(text: str, *, name: str) -> float:
        try:
            number = float(text) * factor
        except ValueError:
            number = math.nan
        if not 0 < number < 1e12:
            raise UsageError(f"{name}: {text!r} must be a number above 0")
        return number

    return read


def _megabytes(text: str, *, name: str) -> int:
    return round(_scaled(MIB)(text, name=name))


def _size(text: str, *, name: str) -> int:
    return parse_size(text, name=name)


def _seconds(text: str, *, name: str) -> float:
    return parse_duration(text, name=name)


def _path(text: str, *, name: str) -> Path:
    if not text or "\0" in text:
        raise UsageError(f"{name}: {text!r} must be a path")
    return Path(text)


def _paths(text: str, *, name: str) -> tuple[str, ...]:
    found = _words(text, name=name)
    for each in found:
        AllowedMount.parse(each)
    return found


def _text(text: str, *, name: str) -> str:
    del name
    return text


def _words(text: str, *, name: str) -> tuple[str, ...]:
    del name
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _level(text: str, *, name: str) -> str:
    if text.lower() not in LEVELS:
        raise UsageError(f"{name}: {text!r} must be one of {', '.join(LEVELS)}")
    return text.lower()


def _url(text: str, *, name: str) -> str:
    found = urlsplit(text)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise UsageError(f"{name}: {text!r} must be http://HOST:PORT or https://HOST:PORT")
    return text.rstrip("/")


_WHERE = "Where it listens"
_WHO = "Who may ask, and how often"
_MUCH = "What a request may take"
_CLUSTER = "Several servers as one"
_LOG = "Its log"
_COUNT = _number(0, 1_000_000)

OPTIONS: tuple[Option, ...] = (
    Option(field="port", metavar="PORT", read=_number(0, 65535), section=_WHERE,
           help=f"Port to listen on (default: {PORT})"),
    Option(field="host", metavar="ADDRESS", read=_text, section=_WHERE,
           help="Address to listen on (default: every one of this machine)"),
    Option(field="https", section=_WHERE, help="Serve HTTPS, and nothing else"),
    Option(field="cert", metavar="FILE", read=_path, section=_WHERE,
           help="Certificate for --https (default: /certs/cert.pem); read again when it changes"),
    Option(field="key", metavar="FILE", read=_path, section=_WHERE,
           help="Its private key (default: /certs/privkey.pem)"),
    Option(field="chain", metavar="FILE", read=_path, section=_WHERE,
           help="Certificates in between (default: /certs/chain.pem, if it is there)"),
    Option(field="token", metavar="TOKEN", read=_text, section=_WHO,
           help="What a caller has to know; a process list shows it: DS_TOKEN and --token_file "
                "do not"),
    Option(field="token_file", metavar="FILE", read=_path, section=_WHO,
           help="File with the token alone"),
    Option(field="tokens", metavar="FILE", read=_path, section=_WHO,
           help="File of further tokens, with names and policies"),
    Option(field="policy", metavar="FILE", read=_path, section=_WHO,
           help="File of what may be run"),
    Option(field="mounts", metavar="PATHS", read=_paths, section=_WHO,
           help="What of the engine's machine containers may see, by commas: /tmp/data, "
                "/srv/www/**:ro (default: nothing); a policy says it for each token"),
    Option(field="low_burst", metavar="N", read=_COUNT, section=_WHO,
           help="Pulls, runs and execs in a minute (default: 60; 0 is no limit)"),
    Option(field="mid_burst", metavar="N", read=_COUNT, section=_WHO,
           help="Removals in a minute (default: 180)"),
    Option(field="high_burst", metavar="N", read=_COUNT, section=_WHO,
           help="Lists and logs in a minute (default: 300)"),
    Option(field="strict", section=_MUCH,
           help="Statuses say what went wrong (404, 409, 422, …), not 500 for everything"),
    Option(field="body_limit", metavar="SIZE", read=_size, section=_MUCH,
           help="The most a request's body may have (default: 10k)"),
    Option(field="output_limit", metavar="SIZE", read=_size, section=_MUCH,
           help="The most output of one answer that is no stream (default: 16m)"),
    Option(field="timeout", metavar="DURATION", read=_seconds, section=_MUCH,
           help="How long a program in the foreground may take (default: 1h)"),
    Option(field="pull_timeout", metavar="DURATION", read=_seconds, section=_MUCH,
           help="How long an image may take to be pulled (default: 30m)"),
    Option(field="capacity", metavar="N", read=_number(1, 100_000), section=_MUCH,
           help="Containers in the foreground at one time (default: 64)"),
    Option(field="waiting", metavar="N", read=_COUNT, section=_MUCH,
           help="Requests that may wait for their turn (default: 1024)"),
    Option(field="cluster", section=_CLUSTER, help="Work together with the servers that use the "
           "same folder or bucket"),
    Option(field="refresh_rate", metavar="MS", read=_scaled(0.001), section=_CLUSTER,
           help="Milliseconds between two looks at this machine's load (default: 30000)"),
    Option(field="cache_interval", metavar="MS", read=_scaled(0.001), section=_CLUSTER,
           help="Milliseconds for which the others' state is believed (default: 3000)"),
    Option(field="folder", metavar="DIR", read=_text, section=_CLUSTER,
           help="Where the servers write their state (default: /tmp/docker-server)"),
    Option(field="s3", metavar="BUCKET", read=_text, section=_CLUSTER,
           help="Write it to a bucket; --folder begins the keys"),
    Option(field="s3_endpoint", metavar="URL", read=_url, section=_CLUSTER,
           help="An S3-compatible service (default: Amazon's)"),
    Option(field="advertise", metavar="URL", read=_url, section=_CLUSTER,
           help="Where the other servers reach this one (default: its address and port)"),
    Option(field="cluster_token", metavar="TOKEN", read=_text, section=_CLUSTER,
           help="What only the servers know; DS_CLUSTER_TOKEN and --cluster_token_file keep it "
                "out of process lists"),
    Option(field="cluster_token_file", metavar="FILE", read=_path, section=_CLUSTER,
           help="File with the cluster's token alone"),
    Option(field="cluster_allow", metavar="LIST", read=_words, section=_CLUSTER,
           help="Networks and names that servers may have: 10.0.0.0/8,*.example.org"),
    Option(field="load_from", metavar="FILE", read=_path, section=_CLUSTER,
           help="File with this machine's load, a number from 0 to 1, instead of measuring it"),
    Option(field="node_ca", metavar="FILE", read=_path, section=_CLUSTER,
           help="Certificates that the other servers are checked with"),
    Option(field="log_level", metavar="LEVEL", read=_level, section=_LOG,
           others=("--log_lovel",), help=f"One of {', '.join(LEVELS)} (default: info)"),
    Option(field="log_folder", metavar="DIR", read=_path, section=_LOG,
           help="Write log files there as well (default: stderr alone)"),
    Option(field="log_expiry", metavar="DAYS", read=_scaled(_DAY), section=_LOG,
           help="Days after which a log file is removed (default: 14)"),
    Option(field="log_max_size", metavar="MB", read=_megabytes, section=_LOG,
           help="Size after which another log file is begun (default: 25)"),
    Option(field="audit", metavar="FILE", read=_path, section=_LOG,
           help="Tell there who did what to which container"),
    Option(field="grace", metavar="DURATION", read=_seconds,
           help="How long requests have to end when the server stops (default: 30s)"),
)  # fmt: skip


def read_settings(
    given: Mapping[str, object], environ: Callable[[str], str | None], *, engine: str
) -> RemoteSettings:
    """Return what a server is told, all of it checked; raises :class:`UsageError`.

    ``given`` are the flags by field: text, True, or None where they were left out. ``environ``
    returns a variable. Files that have to be there are looked for.
    """
    found: dict[str, Any] = {}
    for option in OPTIONS:
        value, name = given.get(option.field), option.names[-1]
        if value in (None, False):
            value, name = environ(option.variable), option.variable
        if value is not None and value != "":
            found[option.field] = _read(option, value, name=name)
    for field in ("token", "cluster_token"):
        path = found.pop(f"{field}_file", None)
        if path is not None and field not in found:
            found[field] = _token_in(path, name=f"--{field}_file")
    settings = RemoteSettings(engine=engine, **found)
    _check_token(settings, asked="token" in found)
    return _with_chain(settings) if settings.https else settings


def _read(option: Option, value: object, *, name: str) -> Any:  # noqa: ANN401 - its field's type
    if option.metavar:
        return option.read(str(value), name=name)
    try:
        return read_flag(value, name=name)
    except UsageError as error:
        raise UsageError(str(error)) from error


def _token_in(path: Path, *, name: str) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{name}: {path}: {reason}") from error


def _check_token(settings: RemoteSettings, *, asked: bool) -> None:
    """Refuse to start without a secret; DockerServer has one that everybody knows."""
    if not asked:
        if settings.tokens is None:
            raise UsageError(
                "--token: there is none; give one as DS_TOKEN, --token_file or --token, such as "
                "what `openssl rand -hex 32` prints"
            )
        return
    token = settings.token or ""
    if not token.isprintable() or not token.isascii() or not token.strip():
        raise UsageError("--token: it must be printable ASCII, and not empty")
    if not token.strip("x") and not _is_loopback(settings.host):
        raise UsageError(
            f"--token: {token!r} is a default that everybody knows; choose another, or serve "
            "this machine alone with --host 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _with_chain(settings: RemoteSettings) -> RemoteSettings:
    """Check the files of ``--https``: without them nothing is served, and never plain HTTP."""
    usual = _CERTS / "chain.pem"
    chain = settings.chain or (usual if usual.is_file() else None)
    for name, path in (("cert", settings.cert), ("key", settings.key), ("chain", chain)):
        if path is not None and not path.is_file():
            raise UsageError(f"--{name}: {path}: there is no such file, which --https needs")
    return replace(settings, chain=chain)
