"""How certificates of other nodes are checked."""

from __future__ import annotations

import ssl
from pathlib import Path

from wherry.errors import UsageError


def trust(ca: Path | None) -> ssl.SSLContext:
    """Return how certificates of nodes are checked; raises :class:`wherry.errors.UsageError`."""
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--node_ca: {ca} holds no certificates: {error}") from error
