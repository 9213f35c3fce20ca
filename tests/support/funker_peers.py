"""Funker's other halves at wire level, as its Node and Go packages behave: nothing of ours."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 20


def go_call(port: int, document: Any) -> Any:
    """Call as Go's package: write, half-close, read to the end, decode; nothing at all is an error.

    Go decodes into what the caller declared, so whatever parses is taken.
    """
    return json.loads(raw_call(port, json.dumps(document).encode()))


def node_call(port: int, document: Any, *, pieces: int = 3) -> bytes:
    """Call as Node's package: the document in pieces, then the end; returns what came back."""
    data = json.dumps(document).encode()
    size = max(1, len(data) // pieces)
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        for at in range(0, len(data), size):
            connection.sendall(data[at : at + size])
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def raw_call(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    found = b""
    while data := connection.recv(65536):
        found += data
    return found


@contextmanager
def function(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Be a function that serves one connection, and yield its port.

    It reads to the end, and closes without a word where the answer is empty.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        listener.close()  # as Go's: from here on others are refused
        with connection:
            connection.sendall(answer(read_all(connection)))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    address = listener.getsockname()
    try:
        yield address[1]
    finally:
        with socket.socket() as wake:  # where nobody called
            wake.settimeout(1)
            with suppress(OSError):
                wake.connect(address)
        listener.close()
        thread.join(PATIENCE)
