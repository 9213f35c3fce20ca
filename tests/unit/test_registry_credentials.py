from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from pathlib import Path

import pytest

from wherry.config import settings
from wherry.errors import ImageError, UsageError
from wherry.images.credentials import (
    Credentials,
    StoredCredentials,
    default_files,
    encode_auth,
)

HUB = "https://index.docker.io/v1/"


def config(directory: Path, content: object) -> StoredCredentials:
    file = directory / "config.json"
    file.write_text(json.dumps(content))
    return StoredCredentials((file,))


def auth(username: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def helper(directory: Path, name: str, script: str) -> None:
    program = directory / f"docker-credential-{name}"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return directory


@pytest.mark.parametrize(
    ("key", "registry"),
    [
        (HUB, "docker.io"),
        ("index.docker.io", "docker.io"),
        ("docker.io", "docker.io"),
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
        ("http://[::1]:5000/v1/", "[::1]:5000"),
    ],
)
async def test_every_spelling_of_a_registry_in_docker_s_file_is_found(
    tmp_path: Path, key: str, registry: str
) -> None:
    stored = config(tmp_path, {"auths": {"other.io": auth("no", "no"), key: auth("me", "a:b")}})
    assert await stored.find(registry) == Credentials("me", "a:b")
    assert await stored.find("elsewhere.io") is None


async def test_the_exact_key_wins_over_another_spelling(tmp_path: Path) -> None:
    auths = {"https://ghcr.io/v1/": auth("old", "x"), "ghcr.io": auth("new", "y")}
    assert await config(tmp_path, {"auths": auths}).find("ghcr.io") == Credentials("new", "y")


async def test_no_file_and_an_empty_entry_mean_no_credentials(tmp_path: Path) -> None:
    assert await StoredCredentials((tmp_path / "none.json",)).find("ghcr.io") is None
    assert await config(tmp_path, {"auths": {"ghcr.io": {}}}).find("ghcr.io") is None


async def test_tokens_are_told_from_passwords(tmp_path: Path) -> None:
    auths = {
        "identity.io": auth("me", "") | {"identitytoken": "refresh"},
        "bearer.io": {"registrytoken": "raw"},
        "plain.io": {"username": "me", "password": "p"},
    }
    stored = config(tmp_path, {"auths": auths})
    assert await stored.find("identity.io") == Credentials("me", "refresh", "identity")
    assert await stored.find("bearer.io") == Credentials("", "raw", "bearer")
    assert await stored.find("plain.io") == Credentials("me", "p")


async def test_a_password_that_is_no_utf_8_comes_back_as_it_was(tmp_path: Path) -> None:
    password = b"\xff\xfe:x".decode(errors="surrogateescape")
    stored = config(tmp_path, {"auths": {"a.io": {"auth": encode_auth("me", password)}}})
    assert await stored.find("a.io") == Credentials("me", password)


def test_a_secret_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(Credentials("me", "hunter2"))


async def test_the_first_file_that_knows_the_registry_wins(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one = config(tmp_path / "one", {"auths": {"a.io": auth("one", "1")}})
    two = config(tmp_path / "two", {"auths": {"a.io": auth("two", "2"), "b.io": auth("two", "2")}})
    both = StoredCredentials(one.files + two.files)
    assert await both.find("a.io") == Credentials("one", "1")
    assert await both.find("b.io") == Credentials("two", "2")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "not a JSON object"),
        ({"auths": []}, ""),
        ({"auths": ["x"]}, "'auths' is not a JSON object"),
        ({"auths": {"a.io": "x"}}, "is not a JSON object"),
        ({"auths": {"a.io": {"auth": "!!!"}}}, "not base64"),
        ({"auths": {"a.io": {"auth": "bm9jb2xvbg=="}}}, "not base64 of USER:PASSWORD"),
        ({"credHelpers": {"a.io": "../evil"}}, "'../evil' is not the name"),
        ({"credHelpers": {"a.io": "no-such-helper"}}, "'docker-credential-no-such-helper'"),
    ],
)
async def test_a_broken_file_is_an_error_that_names_it(
    tmp_path: Path, content: object, words: str
) -> None:
    stored = config(tmp_path, content)
    if not words:
        assert await stored.find("a.io") is None
        return
    with pytest.raises(ImageError, match=words):
        await stored.find("a.io")


async def test_a_file_that_is_not_json_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ImageError, match="cannot be read"):
        await StoredCredentials((tmp_path / "config.json",)).find("a.io")


async def test_a_helper_is_asked_over_stdin_without_a_shell(tmp_path: Path, on_path: Path) -> None:
    helper(
        on_path,
        "demo",
        f'echo "$@" > {tmp_path}/args; cat > {tmp_path}/in\n'
        """echo '{"ServerURL":"x","Username":"u","Secret":"s"}'\n""",
    )
    stored = config(tmp_path, {"credHelpers": {"a.io": "demo"}})
    assert await stored.find("a.io") == Credentials("u", "s")
    assert (tmp_path / "args").read_text() == "get\n"
    assert (tmp_path / "in").read_text() == "a.io"


async def test_the_store_is_asked_for_hub_by_its_old_address(tmp_path: Path, on_path: Path) -> None:
    helper(
        on_path,
        "demo",
        f"""cat > {tmp_path}/in; echo '{{"Username":"<token>","Secret":"s"}}'\n""",
    )
    stored = config(tmp_path, {"credsStore": "demo"})
    assert await stored.find("docker.io") == Credentials("", "s", "identity")
    assert (tmp_path / "in").read_text() == HUB


async def test_a_helper_for_the_registry_wins_over_the_store(tmp_path: Path, on_path: Path) -> None:
    helper(on_path, "one", """echo '{"Username":"one","Secret":"s"}'\n""")
    helper(on_path, "all", """echo '{"Username":"all","Secret":"s"}'\n""")
    stored = config(tmp_path, {"credsStore": "all", "credHelpers": {"a.io": "one"}})
    assert await stored.find("a.io") == Credentials("one", "s")
    assert await stored.find("b.io") == Credentials("all", "s")


async def test_a_store_without_the_registry_leaves_it_to_auths(
    tmp_path: Path, on_path: Path
) -> None:
    helper(on_path, "empty", "echo 'credentials not found in native keychain'; exit 1\n")
    stored = config(tmp_path, {"credsStore": "empty", "auths": {"a.io": auth("me", "p")}})
    assert await stored.find("a.io") == Credentials("me", "p")
    assert await stored.find("b.io") is None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'the key ring is locked'; exit 3\n", "exit code 3: the key ring is locked"),
        ("echo 'nothing'\n", "did not answer with Username and Secret"),
        ("""echo '{"Username":"hidden-one"}'\n""", "did not answer with Username and Secret"),
    ],
)
async def test_a_helper_that_fails_is_an_error(
    tmp_path: Path, on_path: Path, script: str, words: str
) -> None:
    helper(on_path, "bad", script)
    stored = config(tmp_path, {"credHelpers": {"a.io": "bad"}})
    with pytest.raises(ImageError, match=words) as caught:
        await stored.find("a.io")
    assert "hidden-one" not in str(caught.value)


async def test_cancelling_ends_a_helper_that_hangs(tmp_path: Path, on_path: Path) -> None:
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    helper(on_path, "slow", f"echo $$ > {fifo}; exec sleep 60\n")
    stored = config(tmp_path, {"credHelpers": {"a.io": "slow"}})
    task = asyncio.create_task(stored.find("a.io"))
    pid = int(await asyncio.to_thread(fifo.read_text))
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - begun < 2
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("username", ["", "a:b"])
def test_a_user_name_that_cannot_be_stored_is_refused(username: str) -> None:
    with pytest.raises(UsageError, match="username"):
        encode_auth(username, "x")


def test_what_wherry_login_wrote_comes_before_docker_s_file() -> None:
    there = settings({"HOME": "/home/me"})
    assert default_files(there) == (
        Path("/home/me/.config/wherry/auth.json"),
        Path("/home/me/.docker/config.json"),
    )
