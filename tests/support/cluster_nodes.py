"""Nodes of a cluster as they are run: processes of ``wherry remote``, each with its own engine."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.dockerd import Dockerd, running_dockerd
from tests.support.waiting import wait_until

TOKEN = "the-token-of-every-node"
_DOWN = 30.0


@dataclass(frozen=True)
class Heard:
    """What a node answered, header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def failed(self) -> str:
        """The nodes that are missing in it."""
        return self.headers.get("docker-server-failed", "")


@dataclass
class ClusterNode:
    """One server, which can be killed, frozen and started again at the same port."""

    directory: Path
    """Its own."""
    dockerd: Dockerd
    options: tuple[str, ...]
    token: str = TOKEN
    ca: Path | None = None
    port: int = 0
    said: list[str] = field(default_factory=list)
    """The lines of its stderr so far."""
    process: subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.directory.mkdir()
        self.load(0.5)

    @property
    def url(self) -> str:
        return f"{'https' if self.ca else 'http'}://127.0.0.1:{self.port}"

    @property
    def state(self) -> str:
        """The name of its file in the shared folder."""
        return f"127.0.0.1-{self.port}.json"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def load(self, load: float) -> None:
        """Have it say that this is its load, from its next refresh on."""
        partial = self.directory / "load.partial"
        partial.write_text(f"{load}\n")
        partial.replace(self.directory / "load")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wherry", "remote", "--host", "127.0.0.1",
             "--port", str(self.port), "--cluster", "--engine", self.dockerd.unix,
             "--load_from", str(self.directory / "load"), "--grace", "20s", *self.options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "WHERRY_DATA_DIR": str(self.directory), "DS_TOKEN": self.token},
        )  # fmt: skip
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)
            if line.startswith("ready "):
                self.port = int(line.rpartition(":")[2])
                Thread(target=self._listen, args=(self.process,), daemon=True).start()
                return
        raise AssertionError(f"it did not start: {''.join(self.said)}")

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(_DOWN)

    def stop(self) -> None:
        """End it well."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(_DOWN) == 0, "".join(self.said)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop it for the block without ending it."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def ask(
        self,
        method: str,
        path: str = "/",
        fields: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        seconds: float = 60.0,
    ) -> Heard:
        """Send one request, and read the whole answer."""
        connection = self.connect(seconds=seconds)
        try:
            connection.request(
                method,
                path,
                body=None if fields is None else json.dumps(fields),
                headers={**self.headers, **(headers or {})},
            )
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Heard(answer.status, found, answer.read())
        finally:
            connection.close()

    @property
    def headers(self) -> dict[str, str]:
        token = base64.b64encode(self.token.encode()).decode()
        return {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    def connect(self, *, seconds: float = 60.0) -> http.client.HTTPConnection:
        if self.ca is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        context = ssl.create_default_context(cafile=self.ca)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=seconds, context=context)

    def has(self, name: str) -> bool:
        """Whether its engine has a container of this name."""
        found = json.loads(self.dockerd.request("GET", "/containers/json?all=1"))
        return any(f"/{name}" in each["Names"] for each in found)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as stderr:
            self.said += stderr


@contextmanager
def engines(first: Dockerd, *, count: int) -> Iterator[list[Dockerd]]:
    """Run more engines beside one that runs, all started at the same time."""
    with ExitStack() as stack, ThreadPoolExecutor(count) as threads:
        starting = [running_dockerd() for _ in range(count - 1)]
        started = list(threads.map(lambda each: each.__enter__(), starting))
        for each in starting:
            stack.push(each.__exit__)
        yield [first, *started]


@contextmanager
def cluster(
    directory: Path, dockerds: list[Dockerd], *options: str, **more: Any
) -> Iterator[list[ClusterNode]]:
    """Run one node for each engine, until all know each other."""
    shared = ("--folder", str(directory / "shared"), *options)
    directory.mkdir(exist_ok=True)
    nodes = [
        ClusterNode(directory / f"node{number}", dockerd, shared, **more)
        for number, dockerd in enumerate(dockerds)
    ]
    try:
        with ThreadPoolExecutor(len(nodes)) as threads:
            list(threads.map(ClusterNode.start, nodes))
        together(nodes)
        yield nodes
        for node in nodes:
            node.stop()
    finally:
        for node in nodes:
            if node.process is not None:
                node.process.kill()
                node.process.wait(_DOWN)


def together(nodes: list[ClusterNode]) -> None:
    """Wait until every node answers for all of them."""
    for node in nodes:
        wait_until(lambda node=node: _sees(node, len(nodes)))  # type: ignore[misc]


def _sees(node: ClusterNode, count: int) -> bool:
    heard = node.ask("GET")
    return heard.headers["docker-server-nodes"] == str(count) and not heard.failed
