"""A place for the gateways that pages start: a port of their own, and nothing left of them."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from wherry import config

USUAL = "127.0.0.1:8080"


@contextmanager
def room_for_a_gateway() -> Iterator[Mapping[str, str]]:
    """Yield what to change in a page so that its gateway has a port which is free here."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    curl = Path.home() / ".curlrc"
    curl.write_text("no-progress-meter\n")  # as on a terminal
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERRY_GATEWAY", f"http://{address}")
        try:
            yield {
                USUAL: address,
                "wherry serve --no-auth": f"wherry serve --no-auth --listen {address}",
                "wherry serve 2>": f"wherry serve --listen {address} 2>",
            }
        finally:
            curl.unlink()
            shutil.rmtree(config.settings().data_dir / "state", ignore_errors=True)
