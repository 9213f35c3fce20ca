"""`wherry serve`: what its options come to, and what the first screen says."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.cli.serve import greeting, options_of, parser
from wherry.errors import EngineError, UsageError
from wherry.server import descriptors
from wherry.server.ownership import Ownership
from wherry.server.sockets import bind, parse_address
from wherry.service.admission import Capacity

if TYPE_CHECKING:
    from wherry.server.options import ServeOptions


def options(*words: str) -> ServeOptions:
    return options_of(parser().parse(["--data-dir", "/d", *words]))


def test_without_options_it_listens_on_this_machine_and_asks_for_a_login() -> None:
    found = options()
    assert found.listen == ("127.0.0.1:8080",)
    assert not found.no_auth
    assert found.state == Path("/d/state")
    assert found.capacity == Capacity()


def test_every_limit_can_be_set() -> None:
    found = options(
        "--max-body", "10m", "--max-timeout", "1m30s", "--max-running", "8", "--queue-wait", "0",
        "--workers", "3", "--idle", "10s", "--grace", "0", "--socket-mode", "660",
        "--listen", "[::1]:0", "--listen", "unix:/s", "--no-access-log",
    )  # fmt: skip
    assert found.max_body == 10 * 1024 * 1024
    assert (found.max_timeout, found.idle, found.grace) == (90.0, 10.0, 0.0)
    assert (found.capacity.max_running, found.capacity.queue_wait) == (8, 0.0)
    assert (found.workers, found.socket_mode) == (3, 0o660)
    assert found.listen == ("[::1]:0", "unix:/s")
    assert not found.access_log


def test_the_first_screen_says_where_it_is_and_who_is_let_in() -> None:
    said = greeting(options("--no-auth"), ["127.0.0.1:8080", "unix:/s"]).splitlines()
    assert said[-1] == "ready http://127.0.0.1:8080 unix:/s"
    assert any("nobody is asked" in line for line in said)
    locked = greeting(options("--tls-cert", "c.pem"), ["10.0.0.1:443"])
    assert "https://10.0.0.1:443/function/NAME" in locked
    assert "/d/state/basic-auth-password" in locked


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), (":8080", ("", 8080)),
     ("localhost:1", ("localhost", 1))],
)  # fmt: skip
def test_addresses_are_read(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8080", "host", "host:", "::1:80", "h:-1", "h:65536", "h:²"])
def test_what_is_no_address_is_told_so(text: str) -> None:
    with pytest.raises(UsageError, match="--listen"):
        parse_address(text)


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(UsageError, match="no socket"):
        bind([f"unix:{path}"])
    assert path.read_text() == "mine"


def test_when_one_address_cannot_be_bound_none_is(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with pytest.raises(UsageError, match="HOST:PORT"):
        bind([f"unix:{path}", "nowhere"])
    assert not path.exists()


def test_a_state_directory_has_one_owner(tmp_path: Path) -> None:
    first = Ownership(tmp_path / "state")
    with pytest.raises(EngineError, match="another server uses"):
        Ownership(tmp_path / "state")
    first.close()
    Ownership(tmp_path / "state").close()


def test_as_many_files_may_be_open_as_nobody_has_to_be_asked_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        most = descriptors.allow_many()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
        assert most == min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
        assert descriptors.allow_many() == most
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
