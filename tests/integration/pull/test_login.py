"""Registries that want a password, and where the password comes from."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from tests.support.oci_layout import build_image
from tests.support.pulling import QUICK, fetch
from tests.support.registry import PASSWORD, USER, RegistryServer

from wherry.errors import AuthenticationRequired
from wherry.images.credentials import Credentials, FixedCredentials
from wherry.images.login import login, logout
from wherry.images.pull import pull
from wherry.images.reference import Reference
from wherry.images.store import ImageStore


async def test_without_credentials_a_locked_registry_says_how_to_log_in(
    locked_registry: RegistryServer, store: ImageStore
) -> None:
    with pytest.raises(AuthenticationRequired) as caught:
        await fetch(store, f"{locked_registry.host}/secret/box:1")
    assert f"run `wherry login {locked_registry.host}`" in str(caught.value)


async def test_a_wrong_password_is_told_from_none_and_not_repeated_in_words(
    locked_registry: RegistryServer, store: ImageStore
) -> None:
    wrong = FixedCredentials(locked_registry.host, Credentials(USER, "hunter2"))
    name = Reference.parse(f"{locked_registry.host}/secret/box:1")
    with pytest.raises(AuthenticationRequired) as caught:
        await pull(store, name, credentials=wrong, wire=QUICK)
    assert "does not accept the credentials of 'ferryman'" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_logging_in_lets_the_default_pull_in_and_logging_out_does_not(
    locked_registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    file = tmp_path / "config" / "auth.json"
    name = Reference.parse(f"{locked_registry.host}/secret/box:1")
    await login(locked_registry.host, Credentials(USER, PASSWORD), file=file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (await pull(store, name)).references == (str(name),)
    assert await logout(locked_registry.host, file=file)
    assert not await logout(locked_registry.host, file=file)
    with pytest.raises(AuthenticationRequired):
        await pull(ImageStore(tmp_path / "other"), name)


async def test_logging_in_with_a_wrong_password_stores_nothing(
    locked_registry: RegistryServer, tmp_path: Path
) -> None:
    file = tmp_path / "auth.json"
    file.write_text('{"auths": {"ghcr.io": {"auth": "eDp5"}}, "other": 1}')
    before = file.read_text()
    with pytest.raises(AuthenticationRequired, match="does not accept"):
        await login(locked_registry.host, Credentials(USER, "wrong"), file=file)
    assert file.read_text() == before
    await login(f"http://{locked_registry.host}/v2/", Credentials(USER, PASSWORD), file=file)
    after = json.loads(file.read_text())
    assert set(after["auths"]) == {"ghcr.io", locked_registry.host}
    assert after["other"] == 1


async def test_a_credential_helper_on_path_opens_a_locked_registry(
    locked_registry: RegistryServer,
    store: ImageStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    helper = tmp_path / "bin" / "docker-credential-ferry"
    helper.parent.mkdir()
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > {tmp_path}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{helper.parent}:{os.environ['PATH']}")
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credHelpers": {locked_registry.host: "ferry"}}))
    pulled = await pull(store, Reference.parse(f"{locked_registry.host}/secret/box:1"))
    assert (pulled.rootfs / "bin/busybox").exists()
    assert (tmp_path / "asked").read_text() == locked_registry.host


async def test_a_helper_that_is_missing_is_named_when_the_registry_refuses(
    locked_registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credsStore": "nowhere-to-be-found"}))
    with pytest.raises(AuthenticationRequired, match="'docker-credential-nowhere-to-be-found'"):
        await pull(store, Reference.parse(f"{locked_registry.host}/secret/box:1"))


async def test_a_helper_that_is_missing_does_not_matter_for_an_open_registry(
    registry: RegistryServer, store: ImageStore, tmp_path: Path
) -> None:
    registry.put_image(build_image(), "open/box", "1")
    config = tmp_path / "docker" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({"credsStore": "nowhere-to-be-found"}))
    assert await pull(store, Reference.parse(f"{registry.host}/open/box:1"))
