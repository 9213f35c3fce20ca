"""Logging in to a real registry, and pulling from it, at a prompt and in scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.registry import PASSWORD, USER, RegistryServer, registry_server
from tests.support.require import require
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.shell import Shell


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry_server(tmp_path_factory.mktemp("registry"), authenticated=True) as server:
        yield server


@pytest.fixture
def image(sh: Shell, registry: RegistryServer) -> Iterator[str]:
    """An image that is on the registry only."""
    name = f"{registry.host}/boats/box:1"
    sh.out("wherry image save -o box.tar busybox")
    copy = f"{require('skopeo')} --insecure-policy copy --quiet --dest-tls-verify=false"
    sh.out(f"{copy} --dest-creds '{USER}:{PASSWORD}' oci-archive:box.tar docker://{name}")
    yield name
    sh.run(f"wherry logout {registry.host}; wherry image rm -f {name}")


def log_in(sh: Shell, registry: RegistryServer) -> None:
    script = f"wherry login -u {USER} --password-stdin {registry.host}"
    done = sh.run(script, stdin=f"{PASSWORD}\n".encode())
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""


def test_a_run_pulls_what_is_missing_once(sh: Shell, registry: RegistryServer, image: str) -> None:
    log_in(sh, registry)
    first = sh.run(f"echo hi | wherry run {image} tr a-z A-Z")
    assert (first.returncode, first.stdout) == (0, b"HI\n")
    assert b": layer " in first.stderr
    second = sh.run(f"wherry run {image} echo again")
    assert (second.stdout, second.stderr) == (b"again\n", b"")
    always = sh.run(f"wherry run --pull always -q {image} echo fresh")
    assert (always.stdout, always.stderr) == (b"fresh\n", b"")


def test_a_login_is_for_this_user_alone(sh: Shell, registry: RegistryServer, image: str) -> None:
    log_in(sh, registry)
    stored = Path(sh.home, "config", "auth.json")
    assert stored.stat().st_mode & 0o777 == 0o600
    assert list(json.loads(stored.read_text())["auths"]) == [registry.host]
    out = sh.out(f"wherry image pull {image}")
    assert out == f"{image}\n"
    assert sh.run(f"wherry logout {registry.host}").returncode == 0
    sh.out(f"wherry image rm {image}")
    refused = sh.run(f"wherry run {image} true")
    assert refused.returncode == 125
    assert f"run `wherry login {registry.host}`".encode() in refused.stderr


def test_a_wrong_password_is_refused(sh: Shell, registry: RegistryServer) -> None:
    done = sh.run(f"wherry login -u {USER} --password-stdin {registry.host}", stdin=b"wrong")
    assert done.returncode == 125
    assert b"does not accept the credentials of 'ferryman'" in done.stderr


def test_a_login_at_a_prompt(sh: Shell, registry: RegistryServer) -> None:
    with Terminal(sh, f"wherry login {registry.host}") as terminal:
        terminal.read_until("Username: ")
        terminal.type(f"{USER}\n")
        terminal.read_until("Password: ")
        terminal.type(f"{PASSWORD}\n")
        assert terminal.wait() == 0
        assert PASSWORD.encode() not in terminal.shown
    sh.out(f"wherry logout {registry.host}")


def test_a_pull_at_a_terminal_shows_bars_that_are_gone_when_it_is_done(
    sh: Shell, registry: RegistryServer, image: str
) -> None:
    log_in(sh, registry)
    with Terminal(sh, f"wherry run {image} echo from inside") as terminal:
        assert terminal.wait() == 0
        assert f"Pulling {image}".encode() in terminal.shown
        assert b" MB" in terminal.shown
        assert terminal.shown.rstrip().endswith(b"from inside")


def test_stdout_of_a_pulling_run_has_nothing_but_the_functions(
    sh: Shell, registry: RegistryServer, image: str
) -> None:
    log_in(sh, registry)
    with Terminal(sh, f"wherry run {image} echo from inside > only; cat only | od -c") as terminal:
        assert terminal.wait() == 0
    assert (sh.home / "only").read_bytes() == b"from inside\n"
