"""Variables of the caller's that change what a test or a measurement is about."""

from __future__ import annotations

import os

FOREIGN = (
    "PYTHONDONTWRITEBYTECODE",  # slows every Python that is started
    "PYTHONPATH",
    "PYTHONUNBUFFERED",
    "SSL_CERT_FILE",  # these override the certificates a test makes
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "http_proxy",  # these lead away from servers on the loopback interface
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "DOCKER_HOST",  # these name the user's own engine or registry login
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "NO_COLOR",
    "FORCE_COLOR",
)


def unwanted() -> list[str]:
    """Return the variables to take away: the foreign ones, and wherry's own settings."""
    own = [name for name in os.environ if name.startswith("WHERRY_") and name != "WHERRY_REQUIRE"]
    return [name for name in (*FOREIGN, *own) if name in os.environ]
