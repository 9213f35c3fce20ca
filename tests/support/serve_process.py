"""`wherry serve` as a process, on a port of loopback that nobody else has."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

WHERRY = (sys.executable, "-m", "wherry")
_UP = 30.0
_DOWN = 30.0


@dataclass
class Served:
    """A server that runs."""

    url: str
    process: subprocess.Popen[str]
    data: Path
    said: list[str] = field(default_factory=list)
    """The lines of its stderr so far."""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def password(self) -> str:
        return (self.data / "state" / "basic-auth-password").read_text().strip()


@contextmanager
def serving(data: Path, *options: str, engine: str = "memory") -> Iterator[Served]:
    """Run one for the block; it must end well when it is asked to."""
    words = (*WHERRY, "serve", "--listen", "127.0.0.1:0", "--engine", engine, "--grace", "5s",
             *options)  # fmt: skip
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "WHERRY_DATA_DIR": str(data)},
    )  # fmt: skip
    served = Served("", process, data)
    reader: Thread | None = None
    try:
        served.url = _ready(served)
        reader = Thread(target=_read, args=(served,), daemon=True)
        reader.start()
        yield served
        process.send_signal(signal.SIGTERM)
        assert process.wait(_DOWN) == 0, "".join(served.said)
    finally:
        process.kill()
        process.wait()
        if reader is not None:
            reader.join(5)
        assert process.stderr is not None
        process.stderr.close()


def _ready(served: Served) -> str:
    assert served.process.stderr is not None
    watchdog = Thread(target=_give_up, args=(served,), daemon=True)
    watchdog.start()
    for line in served.process.stderr:
        served.said.append(line)
        if line.startswith("ready "):
            served.url = line.split()[1]
            return served.url
    raise AssertionError(f"it did not start: {''.join(served.said)}")


def _give_up(served: Served) -> None:
    try:
        served.process.wait(_UP)
    except subprocess.TimeoutExpired:
        if not served.url:
            served.process.kill()


def _read(served: Served) -> None:
    assert served.process.stderr is not None
    served.said.extend(served.process.stderr)
