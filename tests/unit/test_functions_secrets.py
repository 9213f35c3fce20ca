"""Secrets on disk: who can read them, and when a new value is there."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from wherry.errors import AlreadyExists, EngineError, NotFound, UsageError
from wherry.functions.secrets import LARGEST, SecretStore


@pytest.fixture
def secrets(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets")


async def test_a_secret_is_created_replaced_listed_and_removed(secrets: SecretStore) -> None:
    assert secrets.names() == []
    await secrets.create("key", b"one\0\xff")
    await secrets.create("other", b"")
    assert secrets.names() == ["key", "other"]
    assert secrets.path("key").read_bytes() == b"one\0\xff"
    await secrets.replace("key", b"two")
    assert secrets.path("key").read_bytes() == b"two"
    await secrets.remove("key")
    assert secrets.names() == ["other"]
    assert not secrets.has("key")
    assert secrets.has("other")


async def test_only_its_owner_can_read_a_secret(secrets: SecretStore) -> None:
    await secrets.create("key", b"value", namespace="dev")
    await secrets.replace("key", b"newer", namespace="dev")
    path = secrets.path("key", namespace="dev")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["key"]


async def test_namespaces_have_secrets_of_their_own(secrets: SecretStore) -> None:
    await secrets.create("key", b"default")
    await secrets.create("key", b"dev", namespace="dev")
    assert secrets.path("key").read_bytes() == b"default"
    await secrets.remove("key", namespace="dev")
    assert secrets.has("key")


async def test_a_secret_that_exists_is_not_created_again(secrets: SecretStore) -> None:
    await secrets.create("key", b"one")
    with pytest.raises(AlreadyExists, match="there is a secret 'key'"):
        await secrets.create("key", b"two")
    assert secrets.path("key").read_bytes() == b"one"


async def test_of_many_creations_at_once_one_succeeds(secrets: SecretStore) -> None:
    values = [str(number).encode() for number in range(20)]
    results = await asyncio.gather(
        *(secrets.create("key", value) for value in values), return_exceptions=True
    )
    assert sum(result is None for result in results) == 1
    assert sum(isinstance(result, AlreadyExists) for result in results) == 19
    assert secrets.path("key").read_bytes() == values[results.index(None)]


async def test_what_is_not_there_is_neither_replaced_nor_removed(secrets: SecretStore) -> None:
    await secrets.create("tokens", b"x")
    with pytest.raises(NotFound, match=r"no secret 'token'.*did you mean 'tokens'"):
        await secrets.replace("token", b"y")
    with pytest.raises(NotFound, match="no secret 'token'"):
        await secrets.remove("token")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\0", "x" * 64])
async def test_a_secrets_name_cannot_leave_its_directory(secrets: SecretStore, name: str) -> None:
    with pytest.raises(UsageError, match=r"secret: .* is no name"):
        await secrets.create(name, b"x")
    with pytest.raises(UsageError, match="namespace"):
        await secrets.create("key", b"x", namespace="../up")


async def test_too_large_a_secret_is_refused_without_its_value(secrets: SecretStore) -> None:
    await secrets.create("fits", bytes(LARGEST))
    with pytest.raises(UsageError, match="1048577 bytes are too many"):
        await secrets.create("key", b"s3cr3t" + bytes(LARGEST - 5))


async def test_every_new_value_is_a_file_that_looks_new(secrets: SecretStore) -> None:
    """Ready containers notice it by time and inode, and an inode's number is used again."""
    await secrets.create("key", b"0")
    seen = set()
    for number in range(30):
        await secrets.replace("key", b"%d" % number)
        found = secrets.path("key").stat()
        seen.add(found.st_mtime_ns)
    assert len(seen) == 30


async def test_no_value_is_in_a_repr_a_log_or_an_error(
    secrets: SecretStore, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    await secrets.create("key", b"s3cr3t")
    with pytest.raises(AlreadyExists) as raised:
        await secrets.create("key", b"s3cr3t")
    (tmp_path / "secrets" / "file").write_bytes(b"")
    with pytest.raises(EngineError, match="cannot be written") as failed:
        await secrets.create("key", b"s3cr3t", namespace="file")
    said = f"{raised.value!r} {failed.value!r} {secrets!r} {caplog.text} {vars(secrets)}"
    assert "s3cr3t" not in said


async def test_a_namespace_that_does_not_exist_is_said(tmp_path: Path) -> None:
    def known(name: str) -> None:
        raise NotFound(f"there is no namespace {name!r}")

    secrets = SecretStore(tmp_path, namespaces=known)
    for call in (secrets.create("key", b"x"), secrets.replace("key", b"x"), secrets.remove("key")):
        with pytest.raises(NotFound, match="no namespace 'openfaas-fn'"):
            await call
    with pytest.raises(NotFound, match="no namespace 'dev'"):
        secrets.names(namespace="dev")


async def test_what_a_killed_writer_left_is_removed(secrets: SecretStore) -> None:
    await secrets.create("key", b"x")
    secrets.path("key").with_name(".0123").write_bytes(b"s3cr3t")
    assert secrets.names() == ["key"]
    secrets.tidy()
    assert [path.name for path in secrets.path("key").parent.iterdir()] == ["key"]
