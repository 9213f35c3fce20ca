"""`docker-server` as a process, on a port of loopback that nobody else has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

SERVER = (sys.executable, "-c", "from wherry.cli import docker_server; docker_server()")
_UP = 60.0
_DOWN = 60.0


@dataclass
class Server:
    """A server that runs."""

    process: subprocess.Popen[str]
    url: str = ""
    said: list[str] = field(default_factory=list)
    """The lines of its stderr so far."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def docker_server(*options: str, engine: str, environ: Mapping[str, str]) -> Iterator[Server]:
    """Run one for the block; it must end well when it is asked to."""
    words = (*SERVER, "--port", "0", "--host", "127.0.0.1", "--engine", engine, *options)
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environ},
    )  # fmt: skip
    server = Server(process)
    reader = Thread(target=_read, args=(server,), daemon=True)
    watchdog = Thread(target=_give_up, args=(server,), daemon=True)
    try:
        watchdog.start()
        _await_ready(server)
        reader.start()
        yield server
        process.send_signal(signal.SIGTERM)
        assert process.wait(_DOWN) == 0, "".join(server.said)
    finally:
        process.kill()
        process.wait()
        if reader.is_alive():
            reader.join(5)
        assert process.stderr is not None
        process.stderr.close()


def _await_ready(server: Server) -> None:
    assert server.process.stderr is not None
    for line in server.process.stderr:
        server.said.append(line)
        if line.startswith("ready "):
            server.url = line.split()[1]
            return
    raise AssertionError(f"it did not start: {''.join(server.said)}")


def _read(server: Server) -> None:
    assert server.process.stderr is not None
    server.said.extend(server.process.stderr)


def _give_up(server: Server) -> None:
    try:
        server.process.wait(_UP)
    except subprocess.TimeoutExpired:
        if not server.url:
            server.process.kill()
