"""What a gateway refuses, and a gateway that is not there, as our own errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wherry.errors import (
    AlreadyExists,
    EngineError,
    EngineUnavailable,
    NotFound,
    UsageError,
    WherryError,
)

if TYPE_CHECKING:
    from wherry.cli.gateway_address import Address


class NotAllowed(UsageError):
    """The gateway does not know us, or does not allow this."""


def error_of(status: int, text: str) -> WherryError:
    """Return the error that a status stands for, saying what the gateway says."""
    said = _plain(text) or f"the gateway answers {status}"
    match status:
        case 401 | 403:
            hint = "" if status == 403 else "; set WHERRY_TOKEN or give --token-file"
            return NotAllowed(f"{said}{hint}")
        case 404:
            return NotFound(said)
        case 409:
            return AlreadyExists(said)
        case _ if status < 500:
            return UsageError(said)
    return EngineError(said)


def _plain(text: str) -> str:
    """Return an error's text, which may be in a JSON object."""
    text = text.strip()
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError:
            return text
        if isinstance(found, dict) and isinstance(found.get("error"), str):
            return str(found["error"])
    return text


def unreachable(address: Address, error: OSError) -> EngineUnavailable:
    """Return the error for a connection that could not be made, and what to do."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return EngineUnavailable(
            f"{address.text}: the certificate is not trusted: {error.verify_message}; "
            "give --ca-file, or --tls-no-verify"
        )
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return EngineUnavailable(
            f"no gateway answers at {address.text}; start one: `wherry serve --no-auth`, "
            "or name another with --gateway"
        )
    why = "no answer" if isinstance(error, TimeoutError) else error.strerror or error
    return EngineUnavailable(f"the gateway at {address.text} cannot be reached: {why}")
