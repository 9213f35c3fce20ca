"""A server as one writes it without wherry: a process of the program for each request.

uvicorn and asyncio, no log, nothing recorded, no limits: `python -m bench.cgi_server PORT ARGV…`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class Cgi:
    """The application: a request's body is stdin, stdout is the answer."""

    def __init__(self, argv: list[str]) -> None:
        self._argv = argv

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        process = await asyncio.create_subprocess_exec(
            *self._argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={"REQUEST_METHOD": scope["method"], "PATH_INFO": scope["path"]},
        )  # fmt: skip
        answer, _ = await process.communicate(body)
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(answer))]
        status = 200 if process.returncode == 0 else 500
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def main() -> None:
    port, *argv = sys.argv[1:]
    uvicorn.run(
        Cgi(argv), host="127.0.0.1", port=int(port), http="httptools", loop="asyncio",
        lifespan="off", access_log=False, log_level="warning",
    )  # fmt: skip


if __name__ == "__main__":
    main()
