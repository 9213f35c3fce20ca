from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.config import inherited, settings, variable

if TYPE_CHECKING:
    import pytest


def test_defaults_of_a_user_lie_in_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = settings({"HOME": "/home/ada"})
    assert found.engine == "local"
    assert found.data_dir == Path("/home/ada/.local/share/wherry")
    assert found.config_dir == Path("/home/ada/.config/wherry")
    assert found.runtime_dir == Path(f"/tmp/wherry-{os.getuid()}")
    assert found.docker_config == Path("/home/ada/.docker")
    assert found.docker_host is None
    assert found.docker_cert_path is None
    assert not found.docker_tls_verify
    assert found.insecure_registries == ()


def test_a_user_who_is_a_number_alone_has_the_root_for_a_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 - 7)
    assert settings({}).config_dir == Path("/.config/wherry")
    assert settings({"HOME": "/home/ada"}).config_dir == Path("/home/ada/.config/wherry")


def test_root_keeps_its_data_where_sandboxes_can_reach_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert settings({"HOME": "/ada"}).data_dir == Path("/var/lib/wherry")
    assert settings({"WHERRY_DATA_DIR": "/data"}).data_dir == Path("/data")


def test_every_variable_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = settings(
        {
            "HOME": "/home/ada",
            "WHERRY_ENGINE": "docker",
            "XDG_DATA_HOME": "/data",
            "XDG_CONFIG_HOME": "/config",
            "XDG_RUNTIME_DIR": "/run/user/1",
            "WHERRY_INSECURE_REGISTRIES": "a:5000, b:5000,",
            "DOCKER_HOST": "tcp://engine:2376",
            "DOCKER_TLS_VERIFY": "1",
            "DOCKER_CERT_PATH": "/certs",
            "DOCKER_CONFIG": "/logins",
        }
    )
    assert found.engine == "docker"
    assert found.data_dir == Path("/data/wherry")
    assert found.config_dir == Path("/config/wherry")
    assert found.runtime_dir == Path("/run/user/1/wherry")
    assert found.insecure_registries == ("a:5000", "b:5000")
    assert found.docker_host == "tcp://engine:2376"
    assert found.docker_tls_verify
    assert found.docker_cert_path == Path("/certs")
    assert found.docker_config == Path("/logins")
    assert settings({"WHERRY_CONFIG_DIR": "/own"}).config_dir == Path("/own")


def test_an_empty_variable_counts_as_absent() -> None:
    found = settings({"HOME": "/home/ada", "WHERRY_ENGINE": "", "DOCKER_HOST": ""})
    assert found.engine == "local"
    assert found.docker_host is None


def test_relative_paths_are_made_absolute() -> None:
    assert settings({"WHERRY_DATA_DIR": "data"}).data_dir == Path.cwd() / "data"


def test_a_child_inherits_what_is_named_and_nothing_else() -> None:
    assert inherited("PATH", "HOME", environ={"PATH": "/bin", "TOKEN": "x"}) == {"PATH": "/bin"}
    assert variable("TOKEN", environ={"TOKEN": "x"}) == "x"
    assert variable("TOKEN", environ={}) is None
