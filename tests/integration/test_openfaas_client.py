"""A whole day of an OpenFaaS client, asked exactly as its command line and SDKs ask.

User-Agent, basic auth, bodies in chunks (Go does so for readers without a length), fields in any
order, ``null`` where Go has a nil pointer, the namespace in the body or in the query.
"""

from __future__ import annotations

import base64
import http.client
import json
import queue
import random
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from tests.support.serve_process import WHERRY, Served, serving

CLI = {"User-Agent": "faas-cli/0.17.0", "Accept-Encoding": "gzip"}
SDK = {"User-Agent": "openfaas-sdk"}


@dataclass
class Faas:
    """A client with its own user, as it is written down in the ecosystem's files."""

    port: int
    user: str
    password: str

    def ask(
        self, line: str, body: Any = None, *, headers: dict[str, str] = CLI, chunked: bool = False
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        method, _, target = line.partition(" ")
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        data = body if isinstance(body, bytes | None) else _shuffled(body)
        every = {"Authorization": f"Basic {login}", **headers}
        if not isinstance(body, bytes | None):
            every["Content-Type"] = "application/json"
        try:
            pieces = (data[i : i + 7] for i in range(0, len(data), 7)) if data and chunked else data
            connection.request(method, target, pieces, every, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def json(self, line: str) -> Any:
        status, headers, body = self.ask(line)
        assert status == 200, body
        assert headers["Content-Type"] == "application/json"
        return json.loads(body)

    def status(self, line: str, body: Any = None, **options: Any) -> int:
        return self.ask(line, body, **options)[0]


def _shuffled(document: dict[str, Any]) -> bytes:
    fields = list(document.items())
    random.Random(1).shuffle(fields)
    return json.dumps(dict(fields)).encode()


@pytest.fixture(scope="module")
def served(environment: Path) -> Iterator[Served]:
    data = environment / "openfaas-client"
    data.mkdir(mode=0o711)
    words = (*WHERRY, "image", "from-host", "--data-dir", str(data), "busybox", "sh", "cat", "tr",
             "echo")  # fmt: skip
    subprocess.run(words, check=True, capture_output=True, timeout=60)
    with serving(data, "--no-access-log", engine="local") as found:
        yield found


@pytest.fixture
def faas(served: Served) -> Faas:
    return Faas(served.port, "admin", served.password)


def deployment(name: str, process: str = "tr a-z A-Z", **more: Any) -> dict[str, Any]:
    """Return what `deploy` sends for a function of a stack.yaml."""
    return {
        "service": name,
        "image": "busybox:latest",
        "namespace": "",
        "envProcess": process,
        "envVars": {"write_debug": "true"},
        "constraints": None,
        "secrets": [],
        "labels": {"com.openfaas.scale.min": "1"},
        "annotations": None,
        "limits": None,
        "requests": None,
        "readOnlyRootFilesystem": False,
        **more,
    }


def wait_until(true: Callable[[], bool], *, within: float = 20.0) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_login_asks_for_the_list_and_is_refused_in_the_words_a_browser_knows(
    served: Served, faas: Faas
) -> None:
    assert faas.status("GET /system/functions") == 200
    wrong = Faas(served.port, "admin", "guess")
    status, headers, _ = wrong.ask("GET /system/functions")
    assert status == 401
    assert headers["WWW-Authenticate"] == 'Basic realm="Restricted"'
    assert faas.status("GET /healthz") == 200
    info = faas.json("GET /system/info")
    assert info["provider"]["orchestration"] == "local"


def test_deploy_list_describe_invoke_scale_and_remove(faas: Faas) -> None:
    assert faas.status("PUT /system/functions", deployment("upper")) == 404  # deploy --update
    assert faas.status("POST /system/functions", deployment("upper"), chunked=True) == 202
    listed = faas.json("GET /system/functions?namespace=")
    assert "upper" in [each["name"] for each in listed]
    shown = faas.json("GET /system/function/upper?namespace=openfaas-fn&usage=1")
    assert shown["image"] == "busybox:latest"
    assert shown["labels"] == {"com.openfaas.scale.min": "1"}
    assert set(shown["usage"]) == {"cpu", "totalMemoryBytes"}
    for chunked in (False, True):
        status, headers, body = faas.ask("POST /function/upper", b"hello there", chunked=chunked)
        assert (status, body) == (200, b"HELLO THERE")
        assert headers["X-Call-Id"]
        assert float(headers["X-Duration-Seconds"]) > 0
    assert faas.ask("POST /function/upper.openfaas-fn", b"x", headers=SDK)[2] == b"X"
    assert faas.json("GET /system/function/upper")["invocationCount"] == 3
    for replicas in (0, 2):
        wanted = {"serviceName": "upper", "replicas": replicas, "namespace": "openfaas-fn"}
        assert faas.status("POST /system/scale-function/upper", wanted) == 202
        shown = faas.json("GET /system/function/upper")
        assert shown["replicas"] == replicas
        if not replicas:
            wait_until(lambda: faas.json("GET /system/function/upper")["availableReplicas"] == 0)
        assert faas.ask("POST /function/upper", b"again")[2] == b"AGAIN"
    wait_until(lambda: faas.json("GET /system/function/upper")["availableReplicas"] == 2)
    usage = faas.json("GET /system/function/upper?usage=1")["usage"]
    assert usage["cpu"] >= 0
    assert usage["totalMemoryBytes"] > 0
    changed = deployment("upper", "tr a-z b-z")
    assert faas.status("PUT /system/functions", changed) == 202
    assert faas.ask("POST /function/upper", b"abc")[2] == b"bcd"
    assert faas.status("DELETE /system/functions", {"functionName": "upper"}) == 202
    assert faas.status("DELETE /system/functions", {"functionName": "upper"}) == 404
    assert faas.status("GET /system/function/upper") == 404
    assert faas.status("POST /function/upper", b"x") == 404


def test_secrets_are_files_of_the_function_and_new_values_reach_new_calls(faas: Faas) -> None:
    secret = {"name": "api-key", "namespace": "openfaas-fn", "value": "first"}
    assert faas.status("POST /system/secrets", secret) == 201
    assert faas.status("POST /system/secrets", secret) == 409
    assert {"name": "api-key", "namespace": "openfaas-fn"} in faas.json(
        "GET /system/secrets?namespace=openfaas-fn"
    )
    reading = deployment("reading", "cat /var/openfaas/secrets/api-key", secrets=["api-key"])
    assert faas.status("POST /system/functions", {**reading, "secrets": ["none"]}) == 400
    assert faas.status("POST /system/functions", reading) == 202
    assert faas.ask("POST /function/reading", b"")[2] == b"first"
    raw = {"name": "api-key", "namespace": "openfaas-fn",
           "rawValue": base64.b64encode(b"second").decode()}  # fmt: skip
    assert faas.status("PUT /system/secrets", raw) == 200
    assert faas.ask("POST /function/reading", b"")[2] == b"second"
    gone = {"name": "api-key", "namespace": "openfaas-fn"}
    assert faas.status("DELETE /system/secrets", gone) == 202
    status, _, body = faas.ask("POST /function/reading", b"")
    assert (status, body) == (
        502, b"function 'reading' cannot run as it is deployed: the server's log says why\n"
    )  # fmt: skip
    assert faas.status("DELETE /system/functions", {"functionName": "reading"}) == 202


def test_namespaces_hold_functions_of_the_same_name(faas: Faas) -> None:
    dev = {"name": "dev", "labels": {"openfaas": "1"}, "annotations": {}}
    assert faas.status("POST /system/namespace/", dev) == 201
    assert set(faas.json("GET /system/namespaces")) >= {"openfaas-fn", "dev"}
    assert faas.json("GET /system/namespace/dev")["labels"] == {"openfaas": "1"}
    assert faas.status("POST /system/functions", deployment("twin")) == 202
    other = deployment("twin", "tr a-z z-z", namespace="dev")
    assert faas.status("POST /system/functions", other) == 202
    assert faas.ask("POST /function/twin", b"aa")[2] == b"AA"
    assert faas.ask("POST /function/twin.dev", b"aa")[2] == b"zz"
    assert [each["namespace"] for each in faas.json("GET /system/functions?namespace=dev")] == [
        "dev"
    ]
    gone = {"functionName": "twin", "namespace": "dev"}
    assert faas.status("DELETE /system/functions", gone) == 202
    assert faas.status("DELETE /system/namespace/dev", {"name": "dev"}) == 202
    assert (
        faas.status("DELETE /system/functions?namespace=openfaas-fn", {"functionName": "twin"})
        == 202
    )


@contextmanager
def callbacks() -> Iterator[tuple[str, queue.Queue[tuple[dict[str, str], bytes]]]]:
    """Listen for what is called back."""
    heard: queue.Queue[tuple[dict[str, str], bytes]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = self.headers.get("Content-Length")
            body = self.rfile.read(int(length)) if length else _chunks(self.rfile)
            heard.put(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/back", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _chunks(file: Any) -> bytes:
    data = b""
    while size := int(file.readline(), 16):
        data += file.read(size)
        file.readline()
    file.readline()
    return data


def test_an_async_call_is_accepted_made_and_called_back(faas: Faas) -> None:
    assert faas.status("POST /system/functions", deployment("later")) == 202
    with callbacks() as (url, heard):
        headers = {**CLI, "X-Callback-Url": url}
        status, said, _ = faas.ask("POST /async-function/later", b"soon", headers=headers)
        assert status == 202
        call = said["X-Call-Id"]
        back, body = heard.get(timeout=30)
    assert body == b"SOON"
    assert back["x-call-id"] == call
    assert back["x-function-status"] == "200"
    assert back["x-function-name"] in ("later", "later.openfaas-fn")
    assert float(back["x-duration-seconds"]) >= 0
    wrong = {**CLI, "X-Callback-Url": "not a url"}
    assert faas.status("POST /async-function/later", b"x", headers=wrong) == 400
    assert faas.status("POST /async-function/none", b"x") == 404
    assert faas.status("DELETE /system/functions", {"functionName": "later"}) == 202


def test_logs_are_followed_while_the_function_writes_them(faas: Faas) -> None:
    loud = deployment("loud", "sh -c 'cat >&2'")
    assert faas.status("POST /system/functions", loud) == 202
    faas.ask("POST /function/loud", b"first\n")
    connection = http.client.HTTPConnection("127.0.0.1", faas.port, timeout=20)
    login = base64.b64encode(f"{faas.user}:{faas.password}".encode()).decode()
    headers = {**CLI, "Authorization": f"Basic {login}"}
    try:
        query = "name=loud&follow=1&since=2020-01-01T00%3A00%3A00Z&tail=-1"
        connection.request("GET", f"/system/logs?{query}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("application/x-ndjson")
        first = json.loads(answer.readline())
        assert set(first) == {"name", "namespace", "instance", "timestamp", "text"}
        assert first["text"] == "first"
        for text in ("second", "third"):
            faas.ask("POST /function/loud", f"{text}\n".encode())
            assert json.loads(answer.readline())["text"] == text
    finally:
        connection.close()
    found = faas.ask("GET /system/logs?name=loud&tail=1&namespace=openfaas-fn")[2]
    assert json.loads(found)["text"] == "third"
    assert faas.status("GET /system/logs?name=none") == 404
    assert faas.status("GET /system/logs?tail=5") == 422
    assert faas.status("DELETE /system/functions", {"functionName": "loud"}) == 202


def test_a_page_that_lies_elsewhere_cannot_use_the_password_of_a_browser(faas: Faas) -> None:
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert faas.status("POST /system/functions", deployment("evil"), headers=evil) == 403
    names = [
        each["name"] for each in cast("list[dict[str, Any]]", faas.json("GET /system/functions"))
    ]
    assert "evil" not in names
