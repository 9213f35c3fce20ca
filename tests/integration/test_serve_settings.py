"""`wherry serve` with its table in a file: what it says is what the server does."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path

import pytest
from tests.support.serve_process import Served, serving
from tests.support.served_calls import ask, deploy, eventually

TABLE = """
[serve]
no_auth = true
engine = "memory"
queue_max_body = "10b"
callback_host = ["*.example.org"]
max_body = 100
trusted_proxy = ["127.0.0.0/8", "unix"]
max_running = 3

[functions.upper]
image = "busybox"
command = ["tr", "a-z", "A-Z"]
"""


def answer(served: Served, line: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    method, _, path = line.partition(" ")
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, names)
        found = connection.getresponse()
        return found.status, found.read().decode()
    finally:
        connection.close()


def test_what_the_table_says_is_what_the_server_does(tmp_path: Path) -> None:
    (tmp_path / "wherry.toml").write_text(TABLE)
    with serving(tmp_path / "data", "--config", str(tmp_path / "wherry.toml")) as served:
        assert answer(served, "POST /function/upper", b"from a file") == (200, "FROM A FILE")
        assert answer(served, "POST /function/upper", b"x" * 101)[0] == 413
        assert answer(served, "POST /async-function/upper", b"x" * 11)[0] == 413
        status, said = answer(
            served, "POST /async-function/upper", b"x", X_Callback_Url="http://example.com/"
        )
        assert (status, "this server calls *.example.org" in said) == (400, True)
        assert answer(served, "POST /async-function/upper", b"x")[0] == 202
        metrics = answer(served, "GET /metrics")[1].splitlines()
        for name in ("depth", "oldest_age", "dead", "running", "callbacks"):
            assert any(line.startswith(f"wherry_queue_{name} ") for line in metrics), name


def test_a_mistake_in_the_table_is_said_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "wherry.toml"
    path.write_text("[serve]\nmax_runing = 3\n")
    with (
        pytest.raises(AssertionError, match=r"serve: there is no 'max_runing'.*max_running"),
        serving(tmp_path / "data", "--config", str(path)),
    ):
        pass
    assert not (tmp_path / "data").exists()


def test_the_log_says_whom_a_trusted_proxy_speaks_for(tmp_path: Path) -> None:
    (tmp_path / "wherry.toml").write_text(TABLE)
    unix = tmp_path / "s"
    options = ("--config", str(tmp_path / "wherry.toml"), "--listen", f"unix:{unix}")
    with serving(tmp_path / "data", *options) as served:
        answer(served, "GET /function/upper/tcp", X_Forwarded_For="6.6.6.6, 203.0.113.7")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(unix))
            client.sendall(
                b"GET /function/upper/unix HTTP/1.1\r\nHost: localhost\r\n"
                b"X-Forwarded-For: 203.0.113.8\r\nConnection: close\r\n\r\n"
            )
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        eventually(lambda: any("/unix" in line for line in served.said))
    lines = [json.loads(line) for line in served.said if line.startswith("{")]
    clients = {line["path"]: line["client"] for line in lines if "path" in line}
    assert clients == {
        "/function/upper/tcp": "203.0.113.7",
        "/function/upper/unix": "203.0.113.8",
    }


def test_options_bound_the_queue_too(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth", "--queue-max-body", "1k") as served:
        deploy(served, "upper", ["tr", "a-z", "A-Z"])
        assert ask(served, "POST", "/async-function/upper", b"x" * 1025)[0] == 413
        assert ask(served, "POST", "/async-function/upper", b"x" * 1024)[0] == 202
