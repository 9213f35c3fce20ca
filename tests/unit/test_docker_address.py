"""Which engine an address means, and which one the docker command would use."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from wherry.engines.docker.address import Address, Tls, parse_spec
from wherry.engines.docker.context import address_from_environment
from wherry.errors import UsageError


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("docker:///run/x.sock", Address(scheme="unix", path="/run/x.sock")),
        ("docker+unix:///run/x.sock", Address(scheme="unix", path="/run/x.sock")),
        ("docker:unix:///run/x.sock", Address(scheme="unix", path="/run/x.sock")),
        ("unix:///run/a%20b.sock", Address(scheme="unix", path="/run/a b.sock")),
        ("docker+tcp://far:2375", Address(scheme="tcp", host="far", port=2375)),
        ("docker+tcp://far", Address(scheme="tcp", host="far", port=2375)),
        ("docker+tcp://[::1]:99", Address(scheme="tcp", host="::1", port=99)),
        ("docker+tls://far", Address(scheme="tcp", host="far", port=2376, tls=Tls())),
        (
            "docker+tls://far:1?ca=/a.pem&cert=/c.pem&key=/k.pem",
            Address(
                scheme="tcp",
                host="far",
                port=1,
                tls=Tls(ca=Path("/a.pem"), cert=Path("/c.pem"), key=Path("/k.pem")),
            ),
        ),
        ("docker+ssh://me@far:22", Address(scheme="ssh", host="me@far", port=22)),
        ("ssh://far", Address(scheme="ssh", host="far")),
        ("docker:", None),
        ("docker", None),
    ],
)
def test_every_form_of_an_address_is_read(spec: str, address: Address | None) -> None:
    assert parse_spec(spec) == address


@pytest.mark.parametrize(
    "spec",
    [
        "docker://host/path.sock",
        "docker:relative.sock",
        "docker+tcp://",
        "docker+tcp://far:port",
        "docker+tcp://far:99999",
        "docker+tcp://far/path",
        "docker+tls://far?ca=",
        "docker+tls://far?verify=no",
        "docker+tls://far?cert=/c.pem",
        "docker+ssh://-oProxyCommand=evil/",
        "docker+ssh://-l@far",
        "docker+ssh://me:secret@far",
        "docker+http://far",
        "unix://relative/x.sock",
    ],
)
def test_what_is_no_address_is_refused_by_name(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(spec)
    assert "secret" not in str(caught.value) or "secret" in spec


def test_an_address_is_shown_without_its_certificates() -> None:
    tls = Tls(ca=Path("/a.pem"))
    assert str(Address(scheme="tcp", host="::1", port=1, tls=tls)) == "tls://[::1]:1"
    assert str(Address(scheme="unix", path="/x")) == "unix:///x"
    assert str(Address(scheme="ssh", host="me@far")) == "ssh://me@far"


def context(directory: Path, name: str, **endpoint: object) -> Path:
    stored = hashlib.sha256(name.encode()).hexdigest()
    meta = directory / "contexts" / "meta" / stored
    meta.mkdir(parents=True)
    described = {"Name": name, "Endpoints": {"docker": endpoint}}
    (meta / "meta.json").write_text(json.dumps(described))
    return directory / "contexts" / "tls" / stored / "docker"


def test_without_any_setting_it_is_the_default_socket(tmp_path: Path) -> None:
    found = address_from_environment({"HOME": str(tmp_path)})
    assert found == Address(scheme="unix", path="/var/run/docker.sock")


def test_docker_host_goes_before_every_context(tmp_path: Path) -> None:
    context(tmp_path, "far", Host="tcp://far:1")
    environment = {
        "DOCKER_CONFIG": str(tmp_path),
        "DOCKER_HOST": "unix:///run/other.sock",
        "DOCKER_CONTEXT": "far",
    }
    assert address_from_environment(environment).path == "/run/other.sock"
    del environment["DOCKER_HOST"]
    assert address_from_environment(environment).host == "far"


def test_the_context_in_use_is_the_one_of_the_config_file(tmp_path: Path) -> None:
    context(tmp_path, "far", Host="ssh://me@far")
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    found = address_from_environment({"DOCKER_CONFIG": str(tmp_path)})
    assert found == Address(scheme="ssh", host="me@far")
    found = address_from_environment({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "default"})
    assert found.scheme == "unix"


def test_a_context_brings_its_certificates(tmp_path: Path) -> None:
    certificates = context(tmp_path, "far", Host="tcp://far:1", SkipTLSVerify=False)
    certificates.mkdir(parents=True)
    for name in ("ca.pem", "cert.pem"):
        (certificates / name).touch()
    found = address_from_environment({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "far"})
    assert found.tls == Tls(ca=certificates / "ca.pem", cert=certificates / "cert.pem")


def test_a_context_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'nowhere' does not exist"):
        address_from_environment({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "nowhere"})


def test_a_context_without_an_endpoint_is_an_error(tmp_path: Path) -> None:
    stored = hashlib.sha256(b"odd").hexdigest()
    meta = tmp_path / "contexts" / "meta" / stored
    meta.mkdir(parents=True)
    for text in ("[]", "{}", "not json", '{"Endpoints": {"docker": 3}}'):
        (meta / "meta.json").write_text(text)
        with pytest.raises(UsageError, match="cannot be read"):
            address_from_environment({"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "odd"})


@pytest.mark.parametrize("verify", ["1", "0", "yes"])
def test_tls_verify_is_on_with_any_value_and_finds_its_files(verify: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    environment = {
        "DOCKER_HOST": "tcp://far:2376",
        "DOCKER_TLS_VERIFY": verify,
        "DOCKER_CERT_PATH": str(tmp_path),
    }
    assert address_from_environment(environment).tls == Tls(ca=tmp_path / "ca.pem")
    environment["DOCKER_TLS_VERIFY"] = ""
    assert address_from_environment(environment).tls is None
