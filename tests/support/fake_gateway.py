"""A gateway that answers what it is told to, and remembers what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

Reply = tuple[int, Any] | tuple[int, Any, dict[str, str]]


@dataclass(frozen=True)
class Asked:
    """One request."""

    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


@dataclass
class FakeGateway:
    """Answers by request line: ``"GET /system/functions"``, with or without the query."""

    url: str = ""
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [asked.line for asked in self.asked]

    def reply_to(self, line: str) -> Reply:
        return self.replies.get(line) or self.replies.get(line.partition("?")[0]) or (
            404, f"the fake has no answer to {line}"
        )  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def gateway(self) -> FakeGateway:
        return cast("FakeGateway", self.server.gateway)  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def do_any(self) -> None:
        line = f"{self.command} {self.path}"
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.gateway.asked.append(Asked(line, headers, self._body(headers)))
        status, said, *more = self.gateway.reply_to(line)
        is_json = not isinstance(said, str | bytes)
        data = json.dumps(said).encode() if is_json else said
        data = data.encode() if isinstance(data, str) else data
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if is_json else "text/plain")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_any  # noqa: N815

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(headers.get("content-length", "0")))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data


@contextmanager
def fake_gateway() -> Iterator[FakeGateway]:
    """Run one on a port of loopback while the block runs."""
    gateway = FakeGateway()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.gateway = gateway  # type: ignore[attr-defined]
    gateway.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
