"""Calls of a served gateway over real sockets, and what they leave behind."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.local import reaping

if TYPE_CHECKING:
    from tests.support.serve_process import Served


def deploy(served: Served, name: str, command: list[str], **labels: str) -> None:
    """Deploy a function of the image ``busybox``; labels are without their prefix."""
    document = {
        "service": name,
        "image": "busybox",
        "command": command,
        "labels": {f"wherry.{key}": value for key, value in labels.items()},
    }
    status, answer = ask(served, "POST", "/system/functions", json.dumps(document).encode())
    assert status == 202, answer


def ask(served: Served, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Ask once on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@contextmanager
def connected(served: Served, *lines: str) -> Iterator[socket.socket]:
    """Send a request's head, and have the socket."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode())
        yield client


def container(served: Served, call: str) -> reaping.Running | None:
    """Return the container that serves the call with this id now."""
    for found in reaping.running():
        if found.marker.id == call and found.marker.owner.pid == served.process.pid:
            return found
    return None


def eventually(condition: Callable[[], object], *, within: float = 20.0) -> None:
    """Wait for what another process does."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def peak_memory(served: Served) -> int:
    """Return the most memory that a server had since :func:`forget_peak`, in bytes."""
    lines = Path(f"/proc/{served.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(served: Served) -> None:
    """Begin to count the most memory anew."""
    Path(f"/proc/{served.process.pid}/clear_refs").write_text("5")
