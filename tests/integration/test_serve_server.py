"""`wherry serve` as a process: where it listens, whom it refuses, and how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import ssl
import stat
import subprocess
from pathlib import Path

import pytest
from tests.support.certificates import make_certificates
from tests.support.local_harness import data_directory, local_engine
from tests.support.serve_process import WHERRY, serving
from tests.support.served_calls import ask, connected, container, deploy, eventually

_HEAD = ("POST /function/cat HTTP/1.1", "Host: localhost", "Content-Length: 4")


def fails(data: Path, *options: str) -> tuple[int, str]:
    """Start a server that cannot be, and return its exit code and what it says."""
    found = subprocess.run(
        [*WHERRY, "serve", "--engine", "memory", *options], capture_output=True, text=True,
        env={**os.environ, "WHERRY_DATA_DIR": str(data)}, timeout=30, check=False,
    )  # fmt: skip
    return found.returncode, found.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", ":0", "example.org:0"])
def test_without_auth_it_listens_to_this_machine_alone(address: str, tmp_path: Path) -> None:
    code, said = fails(tmp_path, "--listen", address, "--no-auth")
    assert code == 2
    assert "--no-auth" in said
    assert address in said


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--listen", "8080"), "--listen"),
        (("--listen", "127.0.0.1:99999"), "--listen"),
        (("--listen", "::1:8080"), "[::1:8080]"),
        (("--max-timeout", "0"), "--max-timeout"),
        (("--max-running", "none"), "--max-running"),
        (("--socket-mode", "rw"), "--socket-mode"),
        (("--tls-key", "key.pem"), "--tls-cert"),
        (("--tls-cert", "nowhere.pem"), "nowhere.pem"),
    ],
)
def test_what_cannot_be_right_is_said_before_anything_starts(
    options: tuple[str, ...], word: str, tmp_path: Path
) -> None:
    code, said = fails(tmp_path, *options)
    assert code == 2
    assert word in said
    assert list(tmp_path.iterdir()) == []


def test_a_second_server_on_the_same_data_says_who_has_it(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth") as first:
        code, said = fails(tmp_path, "--listen", "127.0.0.1:0")
        assert code == 125
        assert f"process {first.process.pid}" in said


def test_the_data_directory_is_the_servers_own_whatever_the_engine(tmp_path: Path) -> None:
    with serving(tmp_path / "unused", "--no-auth", "--data-dir", str(tmp_path / "here")) as served:
        deploy(served, "upper", ["tr", "a-z", "A-Z"])
        assert ask(served, "POST", "/function/upper", b"a")[1] == b"A"
    assert (tmp_path / "here" / "state" / "functions.db").exists()
    assert not (tmp_path / "unused").exists()


def test_an_address_that_is_taken_is_named(tmp_path: Path) -> None:
    with serving(tmp_path / "one", "--no-auth") as first:
        code, said = fails(tmp_path / "two", "--listen", f"127.0.0.1:{first.port}")
    assert code == 125
    assert str(first.port) in said


def test_its_unix_socket_is_its_owners_alone_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "wherry.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    with serving(tmp_path / "data", "--no-auth", "--listen", f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        code, said = fails(tmp_path / "other", "--listen", f"unix:{path}")
        assert code == 125
        assert "another server" in said
    assert not path.exists()


def test_what_stops_it_lets_calls_end(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth") as served:
        deploy(served, "cat", ["cat"], stream="true")
        with connected(served, *_HEAD) as client, connected(served, *_HEAD) as idle:
            idle.sendall(b"idle")
            read_all_of(idle)
            client.sendall(b"be")
            eventually(lambda: b"be" in client.recv(65536, socket.MSG_PEEK))
            served.process.send_signal(signal.SIGTERM)
            eventually(lambda: refuses(served.port))
            assert idle.recv(1) == b""
            client.sendall(b"st")
            answer = b""
            while data := client.recv(65536):
                answer += data
        assert answer.endswith(b"0\r\n\r\n")
        assert served.process.wait(20) == 0


def read_all_of(client: socket.socket) -> None:
    found = b""
    while not found.endswith(b"0\r\n\r\n"):
        found += client.recv(65536)


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def test_a_second_signal_ends_calls_at_once() -> None:
    with data_directory() as data:
        local_engine(data)
        with serving(data, "--no-auth", "--grace", "60s", engine="local") as served:
            deploy(served, "sleep", ["sleep", "1000"])
            head = ("GET /function/sleep HTTP/1.1", "Host: localhost", "X-Call-Id: last")
            with connected(served, *head) as client:
                eventually(lambda: container(served, "last"))
                served.process.send_signal(signal.SIGTERM)
                eventually(lambda: refuses(served.port))
                served.process.send_signal(signal.SIGTERM)
                assert client.recv(65536).startswith(b"HTTP/1.1 503 ")
                assert served.process.wait(20) == 0
            assert container(served, "last") is None


def test_one_who_follows_a_log_does_not_keep_it_from_stopping(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth", "--grace", "60s") as served:
        deploy(served, "cat", ["cat"])
        head = ("GET /system/logs?name=cat&follow=1 HTTP/1.1", "Host: localhost")
        with connected(served, *head) as client:
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(20) == 0


def test_functions_are_there_again_after_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth") as served:
        deploy(served, "upper", ["tr", "a-z", "A-Z"])
    with serving(tmp_path, "--no-auth") as served:
        assert ask(served, "POST", "/function/upper", b"again") == (200, b"AGAIN")


def test_requests_are_logged_without_what_is_secret(tmp_path: Path) -> None:
    with serving(tmp_path, "--no-auth") as served:
        deploy(served, "cat", ["cat"])
        ask(served, "POST", "/function/cat?key=swordfish", b"swordfish")
        eventually(lambda: any('"path": "/function/cat"' in line for line in served.said))
    assert "swordfish" not in "".join(served.said)


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    first = make_certificates(tmp_path / "first") if mkdir(tmp_path / "first") else None
    second = make_certificates(tmp_path / "second") if mkdir(tmp_path / "second") else None
    assert first is not None
    assert second is not None
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_bytes(first.server_cert.read_bytes())
    key.write_bytes(first.server_key.read_bytes())
    with serving(tmp_path / "data", "--tls-cert", str(cert), "--tls-key", str(key)) as served:
        assert served.url.startswith("https://")
        assert trusted(served.port, first.ca)
        assert not trusted(served.port, second.ca)
        cert.write_text("half a certificate")
        eventually(lambda: any("not used" in line for line in served.said))
        assert trusted(served.port, first.ca)
        key.write_bytes(second.server_key.read_bytes())
        cert.write_bytes(second.server_cert.read_bytes())
        eventually(lambda: trusted(served.port, second.ca))


def mkdir(path: Path) -> bool:
    path.mkdir()
    return True


def trusted(port: int, authority: Path) -> bool:
    """Ask over TLS; whether an authority certifies the server."""
    context = ssl.create_default_context(cafile=str(authority))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=context)
    try:
        connection.request("GET", "/healthz")
    except ssl.SSLCertVerificationError:
        return False
    else:
        return connection.getresponse().status == 200
    finally:
        connection.close()
