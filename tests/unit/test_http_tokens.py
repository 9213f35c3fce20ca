"""Tokens, scopes, passwords and rates: who is let in, by what, and how often."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError
from wherry.triggers.http.passwords import BasicUser, own_basic_user, read_basic_user
from wherry.triggers.http.scopes import covers, invoke, parse_scopes
from wherry.triggers.http.tokens import PREFIX, TokenStore
from wherry.web.rates import REMEMBERED, Rate, RateLimit, client_key


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("granted", "needed", "enough"),
    [
        (["admin"], "admin", True),
        (["admin"], "invoke:upper.dev", True),
        (["deploy"], "read", True),
        (["deploy"], "invoke:upper.dev", True),
        (["deploy"], "admin", False),
        (["read"], "deploy", False),
        (["read"], "invoke:upper.openfaas-fn", False),
        (["invoke:upper"], "invoke:upper.openfaas-fn", True),
        (["invoke:upper"], "invoke:upper.dev", False),
        (["invoke:upper"], "invoke:upperx.openfaas-fn", False),
        (["invoke:*"], "invoke:upper.dev", True),
        (["invoke:*"], "read", False),
        (["invoke:*.dev"], "invoke:upper.dev", True),
        (["invoke:*.dev"], "invoke:upper.openfaas-fn", False),
        (["read", "invoke:a.b.dev"], "invoke:a.b.dev", True),
    ],
)
def test_a_scope_covers_what_it_says_and_nothing_else(
    granted: list[str], needed: str, enough: bool
) -> None:
    assert covers(parse_scopes(granted), needed) is enough


@given(st.text(max_size=20), st.sampled_from(["openfaas-fn", "dev"]))
def test_a_scope_for_one_function_is_never_good_for_another(name: str, namespace: str) -> None:
    needed = f"{name}.{namespace}"
    assert covers(parse_scopes(["invoke:upper"]), invoke(needed)) is (needed == "upper.openfaas-fn")


@pytest.mark.parametrize("word", ["", "root", "invoke:", "invoke:a b", "invoke:*.", "Admin", "*"])
def test_a_scope_that_does_not_exist_is_refused_by_its_name(word: str) -> None:
    with pytest.raises(UsageError, match=r"scope|function"):
        parse_scopes([word])


def test_a_token_is_found_by_what_was_shown_once_and_kept_only_as_a_hash(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "state")
    secret = store.create("ci", scopes=["deploy"])
    assert secret.startswith(PREFIX)
    assert secret not in (tmp_path / "state" / "tokens.json").read_text()
    assert (tmp_path / "state" / "tokens.json").stat().st_mode & 0o777 == 0o600
    found = store.find(secret)
    assert found is not None
    assert (found.name, found.scopes) == ("ci", ("deploy",))
    assert store.find(f"{secret}x") is None
    assert store.find("") is None
    assert store.find("\udcff") is None


def test_a_running_server_sees_at_once_what_another_process_changes(tmp_path: Path) -> None:
    server, command = TokenStore(tmp_path), TokenStore(tmp_path)
    assert server.list() == []
    secrets = [command.create(f"t{n}", scopes=["read"]) for n in range(20)]
    assert all(server.find(secret) for secret in secrets)
    for number, secret in enumerate(secrets):
        command.remove(f"t{number}")
        assert server.find(secret) is None


def test_a_token_ends_when_it_is_to(tmp_path: Path) -> None:
    clock = Clock()
    store = TokenStore(tmp_path, clock=clock)
    secret = store.create("short", scopes=["read"], lifetime=60)
    clock.now += 59
    assert store.find(secret)
    clock.now += 1
    assert store.find(secret) is None
    assert store.list()[0].expired(clock.now)


def test_names_of_tokens_are_unique_and_checked(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    store.create("ci", scopes=["read"])
    with pytest.raises(AlreadyExists, match="'ci'"):
        store.create("ci", scopes=["read"])
    with pytest.raises(NotFound, match="did you mean 'ci'"):
        store.remove("cii")
    for name in ("", "../x", "a b"):
        with pytest.raises(UsageError, match="token"):
            store.create(name, scopes=["read"])
    with pytest.raises(UsageError, match="expires"):
        store.create("x", scopes=["read"], lifetime=0)


def test_a_damaged_file_of_tokens_lets_nobody_in(tmp_path: Path) -> None:
    store = TokenStore(tmp_path)
    secret = store.create("ci", scopes=["read"])
    (tmp_path / "tokens.json").write_text("[{")
    with pytest.raises(EngineError, match=r"tokens\.json"):
        store.find(secret)
    with pytest.raises(EngineError):
        store.find(secret)


def test_the_password_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first = own_basic_user(tmp_path / "state")
    path = tmp_path / "state" / "basic-auth-password"
    password = path.read_text().strip()
    assert len(password) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.matches("admin", password)
    assert own_basic_user(tmp_path / "state") == first
    assert not first.matches("admin", password + "x")
    assert not first.matches("root", password)
    assert not first.matches("admin", "")
    assert list((tmp_path / "state").iterdir()) == [path]
    assert password not in repr(first)


def test_user_and_password_come_from_files_with_or_without_a_newline(tmp_path: Path) -> None:
    user, password = tmp_path / "user", tmp_path / "password"
    user.write_text("ops\n")
    password.write_text("s3:cret")
    found = read_basic_user(user_file=user, password_file=password)
    assert found.matches("ops", "s3:cret")
    password.write_text("\n")
    with pytest.raises(UsageError, match="empty"):
        read_basic_user(user_file=user, password_file=password)
    with pytest.raises(UsageError, match="missing"):
        read_basic_user(user_file=None, password_file=tmp_path / "missing")
    with pytest.raises(UsageError, match="colon"):
        BasicUser.of("a:b", "c")


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/second", (100, 1)), ("10/m", (10, 60)), ("5 per hour", (5, 3600)),
     ("2 / days", (2, 86400)), ("7/s", (7, 1))],
)  # fmt: skip
def test_a_rate_is_written_as_people_do(text: str, rate: tuple[int, float]) -> None:
    assert Rate.parse(text) == Rate(*rate)


@pytest.mark.parametrize("text", ["", "10", "0/s", "-1/s", "1/fortnight", "1.5/s", "x/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="rate-limit"):
        Rate.parse(text, name="--rate-limit")


def test_a_rate_allows_its_burst_and_then_says_when_to_come_again() -> None:
    clock = Clock()
    limit = RateLimit(Rate(10, 60), clock=clock)
    assert [limit.hit("a") for _ in range(10)] == [0.0] * 10
    wait = limit.hit("a")
    assert 0 < wait <= 6
    assert limit.wait("a") == wait
    assert limit.hit("b") == 0.0
    clock.now += wait
    assert limit.hit("a") == 0.0
    assert limit.hit("a") > 0
    clock.now += 60
    assert [limit.hit("a") for _ in range(10)] == [0.0] * 10


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20), st.floats(1, 120))
def test_no_window_holds_more_than_twice_what_a_rate_allows(
    pauses: list[float], requests: int, seconds: float
) -> None:
    clock = Clock()
    limit = RateLimit(Rate(requests, seconds), clock=clock)
    allowed = []
    for pause in pauses:
        clock.now += pause
        if not limit.hit("a"):
            allowed.append(clock.now)
    for start in allowed:
        assert sum(start <= at < start + seconds for at in allowed) <= 2 * requests


def test_many_clients_take_a_bounded_memory() -> None:
    limit = RateLimit(Rate(1, 60))
    for number in range(REMEMBERED + 10):
        limit.hit(str(number))
    assert len(limit._paid) == REMEMBERED


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "local"),
        ("strange", "strange"),
    ],
)
def test_a_client_of_many_addresses_is_one_client(address: str | None, key: str) -> None:
    assert client_key(address) == key
