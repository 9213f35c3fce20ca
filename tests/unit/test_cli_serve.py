"""`wherry serve`: what its options come to, and what the first screen says."""

from __future__ import annotations

import resource
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.calls.model import QueueLimits
from wherry.cli.serve import greeting, options_of, parser
from wherry.cli.serve_options import KEYS
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


def test_the_queue_and_what_is_kept_can_be_set() -> None:
    found = options(
        "--queue-max-body", "1m", "--queue-max-calls", "5", "--queue-max-bytes", "2m",
        "--max-result", "3m", "--keep-results", "1h", "--keep-result-bytes", "4m",
        "--keep-records", "2h", "--keep-dead", "3h", "--max-records", "6", "--retries", "0",
        "--retry-delay", "2s", "--retry-max-delay", "9s", "--callback-attempts", "7",
        "--callback-host", "*.example.org", "--callback-host", "h", "--max-waiting", "0",
    )  # fmt: skip
    mib = 1024 * 1024
    assert found.queue == QueueLimits(
        max_body=mib, max_depth=5, max_bytes=2 * mib, max_result=3 * mib, keep_results=3600.0,
        keep_result_bytes=4 * mib, keep_records=7200.0, keep_dead=10800.0, max_records=6,
        callback_hosts=("*.example.org", "h"),
    )  # fmt: skip
    assert (found.retries.retries, found.retries.callback_attempts) == (0, 7)
    assert (found.retries.backoff.first, found.retries.backoff.most) == (2.0, 9.0)
    assert found.capacity.max_waiting == 0


def in_file(folder: Path, table: str, *words: str, name: str = "wherry.toml") -> ServeOptions:
    (folder / name).write_text(f'[serve]\n{table}\n[functions.f]\nimage = "i"\n')
    return options("--config", str(folder / name), *words)


def test_every_option_is_a_key_of_the_table_and_a_field_of_the_server(tmp_path: Path) -> None:
    words = parser().options()
    names = {action.dest for action in words} - {"config", "help"}
    assert names == set(KEYS)
    said = in_file(tmp_path, "\n".join(f"{key} = {value}" for key, value in OTHER.items()))
    assert set(OTHER) == set(KEYS) - {"data_dir"}
    usual = options()
    same = {
        each.name for each in fields(said) if getattr(said, each.name) == getattr(usual, each.name)
    }
    assert same == {"data_dir"}, "what no key of the table changes"


OTHER = {
    "listen": '["[::1]:0", "unix:/s"]', "socket_mode": '"660"', "tls_cert": '"c.pem"',
    "tls_key": '"k.pem"', "trusted_proxy": '"10.0.0.0/8"', "stack": '["stack.yaml"]',
    "no_auth": "true", "auth_calls": "true", "basic_auth_user_file": '"u"',
    "basic_auth_password_file": '"p"', "allow_origin": '["https://example.org"]',
    "allow_host": '"box"', "rate": '"5/second"', "system_rate": '"5/second"',
    "login_rate": '"none"', "max_body": '"1m"', "max_timeout": "10.5", "max_running": "7",
    "max_waiting": "7", "queue_wait": '"1s"', "idle": '"1s"', "grace": "0", "workers": "31",
    "retries": "9", "retry_delay": '"2s"', "retry_max_delay": "60", "queue_max_body": '"1m"',
    "queue_max_calls": "9", "queue_max_bytes": "99999", "max_result": '"1m"',
    "keep_results": '"1h"', "keep_result_bytes": '"1m"', "callback_host": '"*.example.org"',
    "callback_attempts": "2", "keep_records": '"1h"', "keep_dead": '"1h"', "max_records": "9",
    "no_access_log": "true", "engine": '"memory"', "ofelia": '"ofelia.ini"',
    "ofelia_labels": "true", "swarm_labels": "true", "schedule_local": "true",
}  # fmt: skip
"""Of each key a value that is not the usual one."""


def test_paths_in_a_file_start_beside_it(tmp_path: Path) -> None:
    found = in_file(tmp_path, 'stack = "s.yaml"\ntls_cert = "/c.pem"\ntls_key = "keys/k.pem"')
    assert found.files == (tmp_path / "wherry.toml", tmp_path / "s.yaml")
    assert (found.tls_cert, found.tls_key) == (Path("/c.pem"), tmp_path / "keys/k.pem")


def test_an_option_counts_more_than_the_environment_and_that_more_than_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wherry.toml"
    path.write_text(
        '[serve]\nlisten = ["unix:/f"]\nmax_running = 3\ndata_dir = "file"\nno_auth = true\n'
    )
    monkeypatch.delenv("WHERRY_DATA_DIR", raising=False)
    args = parser().parse(["--config", str(path), "--listen", "unix:/o"])
    found = options_of(args)
    assert (found.listen, found.capacity.max_running) == (("unix:/o",), 3)
    assert found.no_auth
    assert (found.data_dir, args.data_dir) == (tmp_path / "file", str(tmp_path / "file"))
    monkeypatch.setenv("WHERRY_DATA_DIR", "/environment")
    args = parser().parse(["--config", str(path)])
    assert (options_of(args).data_dir, args.data_dir) == (Path("/environment"), None)
    assert options("--config", str(path)).data_dir == Path("/d")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("max_runing = 1", r"wherry\.toml: serve: there is no 'max_runing'.*max_running"),
        ("max_running = 0", r"wherry\.toml: serve\.max_running: '0' must be a whole number from 1"),
        ("max_running = [1]", r"serve\.max_running: \[1\] must be text or a number"),
        ("listen = [1, true]", r"serve\.listen: .* must be a list of texts"),
        ('no_auth = "yes"', r"serve\.no_auth: 'yes' must be true or false"),
        ("socket_mode = 0o660", r"serve\.socket_mode: 432 must be text"),
        ('idle = "soon"', r"serve\.idle: 'soon' is no duration"),
        ('max_body = "much"', r"serve\.max_body: 'much' is no size"),
        ('rate = "often"', r"serve\.rate: 'often' is no rate"),
        ('trusted_proxy = ["10.0.0.0/33"]', r"serve\.trusted_proxy: '10.0.0.0/33' is no address"),
        ('allow_origin = "example.org"', r"serve\.allow_origin: 'example.org' is no origin"),
        ('tls_cert = ""', r"serve\.tls_cert: '' is no path"),
        ("serve = 1", "there is no 'serve'"),
    ],
)
def test_a_mistake_in_the_table_names_file_and_key(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        in_file(tmp_path, table)


def test_two_files_cannot_say_the_same(tmp_path: Path) -> None:
    in_file(tmp_path, "idle = 1", name="a.toml")
    in_file(tmp_path, "grace = 1", "--config", str(tmp_path / "a.toml"))
    with pytest.raises(UsageError, match=r"serve\.idle: .*b\.toml says it, too"):
        in_file(tmp_path, "idle = 2", "--config", str(tmp_path / "a.toml"), name="b.toml")


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
