"""A web server of the standard library alone, to be put into an image: what tests ask of one."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/ws":
            self.websocket()
        elif path == "/events":
            self.events()
        elif path == "/crash":
            os._exit(3)
        elif path == "/healthz":
            self.whole(b"", status=204)
        elif path == "/sleep":
            time.sleep(3600)
        else:
            told = {"pid": os.getpid(), "path": self.path, "headers": dict(self.headers.items())}
            self.whole(json.dumps(told).encode())

    def do_POST(self) -> None:
        """Send every piece of the body back as it comes."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in self.body():
            self.chunk(data)
        self.chunk(b"")

    def whole(self, body: bytes, *, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        number = 0
        while True:
            self.chunk(b"data: %d\n\n" % number)
            number += 1
            time.sleep(0.01)

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0)
        while left and (data := self.rfile.read1(min(left, 65536))):
            left -= len(data)
            yield data
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()

    def websocket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode()
        accepted = base64.b64encode(hashlib.sha1(key + MAGIC).digest()).decode()
        offered = self.headers.get("Sec-WebSocket-Protocol", "").split(",")[0].strip()
        self.send_response(101)
        for name, value in (
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Accept", accepted),
            *([("Sec-WebSocket-Protocol", offered)] if offered else []),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        while (frame := self.frame()) is not None:
            kind, data = frame
            if kind == 8 or data == b"bye":
                self.reply(8, data if kind == 8 else struct.pack(">H", 4001) + b"as you like")
                return
            self.reply(kind, data)

    def frame(self) -> tuple[int, bytes] | None:
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 127
        if size > 125:
            wide = ">H" if size == 126 else ">Q"
            size = struct.unpack(wide, self.rfile.read(struct.calcsize(wide)))[0]
        mask, data = self.rfile.read(4), self.rfile.read(size)
        key = (mask * (size // 4 + 1))[:size]
        number = int.from_bytes(data, "big") ^ int.from_bytes(key, "big")
        return head[0] & 15, number.to_bytes(size, "big")

    def reply(self, kind: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = bytes([0x80 | kind, size])
        elif size < 65536:
            head = struct.pack(">BBH", 0x80 | kind, 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | kind, 127, size)
        self.wfile.write(head + data)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
    server.daemon_threads = True
    print("listening", file=sys.stderr, flush=True)
    server.serve_forever()
