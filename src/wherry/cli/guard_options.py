"""Options of ``wherry serve`` about its guard: rates, and whose web pages are trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser
    from wherry.triggers.http.auth import AuthOptions

_NONE = "none"


def declare(parser: Parser) -> None:
    """Declare them."""
    parser.values(
        "--allow-origin",
        metavar="ORIGIN",
        help="https://HOST whose pages may do what their user may, several times",
    )
    parser.values(
        "--allow-host",
        metavar="NAME",
        help="by which a server without auth is known, besides localhost; several times",
    )
    parser.value("--rate", metavar="RATE", help="calls of one client, as in 100/second; any")
    parser.value("--system-rate", metavar="RATE", help="the same of all but calls; any")
    parser.value(
        "--login-rate", metavar="RATE", help="failed logins of one address, or none; 10/minute"
    )


def read(args: argparse.Namespace) -> AuthOptions:
    """Return what the options say; raises :class:`UsageError`."""
    from wherry.triggers.http.auth import AuthOptions
    from wherry.triggers.http.origins import Origins
    from wherry.triggers.http.rates import FAILED_LOGINS, Rate

    def rate(text: str | None, name: str) -> Rate | None:
        return None if text in (None, _NONE) else Rate.parse(text, name=name)

    failed = rate(args.login_rate, "--login-rate") if args.login_rate else FAILED_LOGINS
    return AuthOptions(
        origins=Origins(
            hosts=frozenset(name.lower() for name in args.allow_host),
            origins=frozenset(map(_origin, args.allow_origin)),
        ),
        call_rate=rate(args.rate, "--rate"),
        system_rate=rate(args.system_rate, "--system-rate"),
        failed_logins=failed,
    )


def _origin(text: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(text.lower())
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise UsageError(
            f"--allow-origin: {text!r} is no origin; write it as in https://example.org"
        )
    return f"{parts.scheme}://{parts.netloc}"
