"""Tokens by name, and the log of what was done with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wherry.errors import UsageError
from wherry.remote import tokens as module
from wherry.remote.audit import Audit, Deed
from wherry.remote.tokens import Tokens, add_token, new_token, read_tokens


def test_the_single_token_is_an_administrators() -> None:
    tokens = Tokens(single="secret")
    found = tokens.find("secret")
    assert found is not None
    assert (found.name, found.is_admin) == ("operator", True)
    for wrong in ("", "secre", "secret ", "SECRET", "secret\udc80"):
        assert tokens.find(wrong) is None


def test_a_file_holds_no_token_and_finds_each_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    alice, table = new_token("alice")
    root, more = new_token("root", is_admin=True)
    path.write_text(table + more)
    assert alice not in path.read_text()
    tokens = Tokens(file=path)
    found = tokens.find(alice)
    assert found is not None
    assert (found.name, found.is_admin) == ("alice", False)
    admin = tokens.find(root)
    assert admin is not None
    assert admin.is_admin
    assert tokens.find(found.digest) is None


def test_no_token_of_a_file_may_have_the_name_of_the_single_one(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    _, table = new_token("operator")  # by whose name containers are owned
    path.write_text(table)
    assert len(read_tokens(path)) == 1
    Tokens(file=path)
    with pytest.raises(UsageError, match=r"tokens\.operator: this is the name of --token"):
        Tokens(single="secret", file=path)


def test_a_new_token_is_added_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    made = {name: add_token(path, name, is_admin=name == "root") for name in ("alice", "root")}
    assert path.stat().st_mode & 0o777 == 0o600
    tokens = Tokens(file=path)
    for name, secret in made.items():
        found = tokens.find(secret)
        assert found is not None
        assert (found.name, found.is_admin) == (name, name == "root")
    with pytest.raises(UsageError, match="there is one"):
        add_token(path, "alice")
    with pytest.raises(UsageError, match="a name is"):
        add_token(path, "Alice Smith")
    with pytest.raises(UsageError, match="cannot be written"):
        add_token(tmp_path / "missing" / "tokens", "bob")


def test_a_token_is_good_until_it_expires(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    secret, table = new_token("alice")
    path.write_text(f"{table}expires = 1970-01-01T00:01:40Z\n")
    now = [99.0]
    tokens = Tokens(file=path, clock=lambda: now[0])
    assert tokens.find(secret) is not None
    now[0] = 100.0
    assert tokens.find(secret) is None


def test_a_file_that_changes_is_read_again_and_a_broken_one_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOKS_EVERY", 0.0)
    path = tmp_path / "tokens.toml"
    first, table = new_token("first")
    path.write_text(table)
    tokens = Tokens(file=path)
    assert tokens.find(first) is not None
    second, more = new_token("second")
    path.write_text(table + more)
    assert tokens.find(second) is not None
    path.write_text("[tokens")
    assert tokens.find(first) is None
    path.unlink()
    assert tokens.find(first) is None
    path.write_text(more)
    assert tokens.find(first) is None
    assert tokens.find(second) is not None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[token.x]", "tokens.NAME"),
        ("[tokens.x]", "sha256"),
        ("[tokens.x]\nsha256 = 'secret'", "64 hexadecimal"),
        (f"[tokens.x]\nsha256 = '{'a' * 64}'\nadmin = 'yes'", "true or false"),
        (f"[tokens.x]\nsha256 = '{'a' * 64}'\nadmn = true", "did you mean 'admin'"),
        (f"[tokens.x]\nsha256 = '{'a' * 64}'\nexpires = 3", "date"),
        (f"[tokens.'X Y']\nsha256 = '{'a' * 64}'", "a name is"),
        ("[tokens", "tokens.toml"),
    ],
)
def test_a_tokens_file_that_is_wrong_says_where(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named):
        read_tokens(path)


def test_the_audit_log_is_a_line_for_a_deed_and_only_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit = Audit(path, clock=lambda: 1.25)
    audit.note(
        Deed(token="alice", address="192.0.2.1", verb="run", verdict="denied", reason="volumes",
             container="x" * 999)
    )  # fmt: skip
    audit.close()
    audit.note(Deed(token="alice", address="", verb="list", verdict="allowed"))
    (line,) = path.read_text().splitlines()
    told = json.loads(line)
    assert told.pop("container") == "x" * 256
    assert told == {
        "time": "1970-01-01T00:00:01.250Z",
        "token": "alice",
        "address": "192.0.2.1",
        "verb": "run",
        "verdict": "denied",
        "reason": "volumes",
    }
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_audit_log_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="audit log"):
        Audit(tmp_path / "missing" / "audit.jsonl")
    Audit(None).note(Deed(token="a", address="", verb="list", verdict="allowed"))
