"""``remote+https://TOKEN@HOST:PORT``: where a server is, and what is shown to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from wherry.errors import UsageError

PORT = 1717
_SCHEMES = {"remote+http": False, "remote+https": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One server. As text it is without its token."""

    host: str
    port: int = PORT
    is_secure: bool = True
    token: str | None = field(default=None, repr=False)
    ca: Path | None = None
    """Certificates that the server's is checked with; None is the system's trust."""

    def __str__(self) -> str:
        scheme = "remote+https" if self.is_secure else "remote+http"
        return f"{scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """``host:port``, as in a Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(spec: str, *, token: str | None = None) -> Address:
    """Read an engine's name; ``token`` is taken where it has none.

    ``?ca=PATH`` names the certificates to trust. Raises UsageError, which says no token.
    """
    try:
        parts = urlsplit(spec)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise UsageError("engine remote+http(s)://…: the host or port is not valid") from error
    asked = parse_qs(parts.query, keep_blank_values=True)
    if not host or parts.path.strip("/") or parts.fragment or set(asked) - {"ca"}:
        raise UsageError(
            "engine remote+http(s)://…: must be remote+https://TOKEN@HOST:PORT, and may end "
            "with ?ca=PATH"
        )
    given = unquote(parts.netloc.rpartition("@")[0]) or token
    if not given:
        raise UsageError(
            f"engine {parts.scheme}://…: the token is missing; write it before an @, or set "
            "WHERRY_TOKEN"
        )
    if not all("\x20" < letter < "\x7f" for letter in given):
        raise UsageError(f"engine {parts.scheme}://…: the token has characters that none has")
    return Address(
        host=host,
        port=PORT if port is None else port,
        is_secure=_SCHEMES[parts.scheme],
        token=given,
        ca=Path(asked["ca"][-1]) if asked.get("ca") else None,
    )
