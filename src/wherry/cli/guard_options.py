"""What ``wherry serve`` is told about its guard: rates, and whose web pages are trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.errors import UsageError

if TYPE_CHECKING:
    from wherry.cli.serve_values import Said, Values
    from wherry.triggers.http.auth import AuthOptions


def read(values: Values) -> AuthOptions:
    """Return what was said; raises :class:`UsageError`."""
    from wherry.triggers.http.auth import AuthOptions
    from wherry.triggers.http.origins import Origins
    from wherry.web.rates import FAILED_LOGINS

    return AuthOptions(
        origins=Origins(
            hosts=frozenset(name.lower() for name in values.texts("allow_host")),
            origins=frozenset(map(_origin, values.each("allow_origin"))),
        ),
        call_rate=values.rate("rate"),
        system_rate=values.rate("system_rate"),
        failed_logins=values.rate("login_rate", FAILED_LOGINS),
    )


def _origin(said: Said) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(said.text.lower())
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        raise UsageError(
            f"{said.where}: {said.text!r} is no origin; write it as in https://example.org"
        )
    return f"{parts.scheme}://{parts.netloc}"
