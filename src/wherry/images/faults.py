"""What can go wrong on the way to a registry, in our words: the one place that translates."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime

from wherry.errors import RegistryError
from wherry.images.retries import Transient


class Untrusted(RegistryError):
    """The other side's certificate is not one we trust."""


class Unreachable(RegistryError):
    """No connection, or one that broke or fell silent."""


@contextmanager
def translated(host: str) -> Iterator[None]:
    """Turn every error of the HTTP library into RegistryError or Transient."""
    import aiohttp

    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError) as error:
        raise Untrusted(
            f"the TLS certificate of {host} is not trusted ({_reason(error)}); put its CA into "
            f"~/.docker/certs.d/{host}/ca.crt or name it by SSL_CERT_FILE"
        ) from error
    except aiohttp.ClientHttpProxyError as error:
        raise RegistryError(f"the proxy refused {host}: {error.status} {error.message}") from error
    except aiohttp.ClientConnectorDNSError as error:
        problem = RegistryError(f"{host} cannot be found: {_reason(error)}")
        if getattr(error.os_error, "errno", None) == socket.EAI_AGAIN:
            raise Transient(problem) from error
        raise problem from error
    except TimeoutError as error:
        raise Transient(Unreachable(f"{host} did not answer in time: {error}")) from error
    except aiohttp.ClientSSLError as error:
        raise RegistryError(f"{host} does not speak TLS: {_reason(error)}") from error
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as error:
        raise Transient(Unreachable(f"{host} cannot be reached: {_reason(error)}")) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise RegistryError(f"{host} gave no usable answer: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    return str(inner) or type(inner).__name__


def retry_after(text: str | None) -> float | None:
    """Return the seconds a Retry-After asks for: it holds a number of them, or a date."""
    if not text:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def own_words(body: bytes) -> str:
    """Return what a registry says is wrong, safe for a terminal and of bounded length."""
    text = body.decode(errors="replace")
    try:
        errors = json.loads(text)["errors"]
        parts = [f"{error.get('code', '')}: {error.get('message', '')}" for error in errors]
        text = "; ".join(part.strip(": ") for part in parts)
    except (ValueError, KeyError, TypeError, AttributeError):
        if "<" in text[:200]:  # a page for a browser
            return ""
    return "".join(char for char in " ".join(text.split()) if char.isprintable())[:300]
