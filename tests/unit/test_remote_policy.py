"""What a token may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.errors import UsageError
from wherry.models import Function, Limits, Mount
from wherry.remote.faults import Forbidden
from wherry.remote.model import Caller, Port, RunRequest, Volume
from wherry.remote.policed import policed, policed_function
from wherry.remote.policy import NOTHING_SAID, AllowedMount, Ceiling, Policy
from wherry.remote.policy_file import load_policies, read_policies

ALICE = Caller(name="alice", is_admin=False, address="192.0.2.1")
HUB = Policy(images=("docker.io/library/*",))


def asking(**fields: object) -> RunRequest:
    return RunRequest(image="redis:7", name="box", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "image", "allowed"),
    [
        ("**", "evil.example/any/thing:1", True),
        ("docker.io/library/*", "redis", True),
        ("docker.io/library/*", "library/redis:7", True),
        ("docker.io/library/*", "docker.io/library/redis", True),
        ("docker.io/library/*", "someone/redis", False),
        ("docker.io/*", "someone/redis", False),
        ("docker.io/**", "someone/redis", True),
        ("docker.io/library/redis:7", "redis:7.2", False),
        ("docker.io/library/redis:*", "redis:7.2", True),
        ("registry.example/**", "registry.example.evil/x", False),
        ("docker.io/library/redis:7", "docker.io.evil/library/redis:7", False),
    ],
)
def test_an_image_is_compared_by_its_full_name(pattern: str, image: str, allowed: bool) -> None:
    policy = Policy(images=(pattern,))
    if allowed:
        assert policy.image(image)
    else:
        with pytest.raises(Forbidden, match="image"):
            policy.image(image)


def test_the_beginning_of_an_images_id_cannot_pass_a_list_of_images() -> None:
    assert HUB.image("deadbeef1234") == "deadbeef1234:latest"
    with pytest.raises(UsageError):
        HUB.image("a" * 64)
    for name in ("sha256:" + "a" * 64, "sha256:abc", "library/sha256:abc", "sha512:abc"):
        with pytest.raises(Forbidden):
            HUB.image(name)
    for name in ("redis", "a" * 64, "sha256:" + "a" * 64):
        assert NOTHING_SAID.image(name) == name


@pytest.mark.parametrize(
    ("allowed", "source", "read_only", "right"),
    [
        ("/srv/data", "/srv/data", False, True),
        ("/srv/data", "/srv/data/", False, True),
        ("/srv/data", "/srv/data/below", False, False),
        ("/srv/data", "/srv/data/../../etc", False, False),
        ("/srv/data:ro", "/srv/data", False, False),
        ("/srv/data:ro", "/srv/data", True, True),
        ("/srv/data/**", "/srv/data/below", False, True),
        ("/srv/data/**", "/srv/database", False, False),
        ("/srv/data/**", "/srv/data/../secret", False, False),
        ("/**", "/etc", False, True),
        ("cache-*", "cache-1", False, True),
        ("cache-*", "other", False, False),
        ("cache-*", "/cache-1", False, False),
    ],
)
def test_a_mount_is_allowed_by_its_exact_source(
    allowed: str, source: str, read_only: bool, right: bool
) -> None:
    policy = Policy(mounts=(AllowedMount.parse(allowed),))
    if right:
        policy.mount(source, read_only=read_only)
    else:
        with pytest.raises(Forbidden, match="volumes"):
            policy.mount(source, read_only=read_only)


def test_a_link_below_an_allowed_directory_leads_nowhere_else(tmp_path: Path) -> None:
    below = tmp_path / "shared"
    below.mkdir()
    (below / "link").symlink_to("/etc")
    policy = Policy(mounts=(AllowedMount.parse(f"{below}/**"),))
    policy.mount(f"{below}/dir", read_only=False)
    with pytest.raises(Forbidden):
        policy.mount(f"{below}/link", read_only=False)
    with pytest.raises(Forbidden):
        policy.mount(f"{below}/link/passwd", read_only=True)


@pytest.mark.parametrize("text", ["", ":ro", "/a:xx", "/a/../b", "/a//b", "/a*/b", "/a/./b"])
def test_a_mount_that_cannot_be_meant_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="mounts"):
        AllowedMount.parse(text)


def test_without_a_policy_nothing_of_the_host_is_reached() -> None:
    for request in (
        asking(volumes=(Volume(source="/", target="/host"),)),
        asking(volumes=(Volume(source="name", target="/data"),)),
        asking(network="host"),
        asking(network="container:other"),
        asking(network="ns:/proc/1/ns/net"),
        asking(capabilities=("SYS_ADMIN",)),
        asking(labels={"wherry.remote.token": "bob"}),
        asking(labels={"wherry.owner": "somebody"}),
    ):
        with pytest.raises(Forbidden):
            policed(request, ALICE, policy=NOTHING_SAID)
    ports = (Port(host=80, container=80),)
    allowed = policed(asking(ports=ports, detach=True), ALICE, policy=NOTHING_SAID)
    assert allowed.labels == {"wherry.remote.token": "alice"}
    assert allowed.image == "redis:7"


def test_a_container_in_the_foreground_says_which_process_waits_for_it() -> None:
    labels = policed(asking(), ALICE, policy=NOTHING_SAID).labels
    assert set(labels) == {"wherry.remote.token", "wherry.remote.foreground"}


def test_any_network_does_not_mean_the_hosts_or_another_containers() -> None:
    policy = Policy(networks=("*",))
    policy.network("mine")
    for name in ("host", "container:x", "ns:/proc/1/ns/net"):
        with pytest.raises(Forbidden):
            policy.network(name)
    Policy(networks=("host",)).network("host")


def test_ports_are_within_their_range_and_at_their_address() -> None:
    policies = read_policies({"default": {"ports": [443, "8000-8999"], "address": "127.0.0.1"}})
    policy = policies.of("anybody")
    request = policed(asking(ports=(Port(host=8080, container=80),)), ALICE, policy=policy)
    assert request.ports[0].address == "127.0.0.1"
    for port in (Port(host=80, container=80), Port(host=8000, container=1, address="0.0.0.0")):
        with pytest.raises(Forbidden, match="ports"):
            policed(asking(ports=(port,)), ALICE, policy=policy)


def test_what_a_request_leaves_open_is_what_the_policy_gives() -> None:
    policy = Policy(limits=Ceiling(memory=64, cpus=1.5, timeout=10))
    request = policed(asking(memory=32), ALICE, policy=policy)
    assert (request.memory, request.cpus, request.timeout) == (32, 1.5, 10)
    for fields in ({"memory": 65}, {"cpus": 2.0}, {"timeout": 11.0}, {"memory": 0}):
        with pytest.raises(Forbidden):
            policed(asking(**fields), ALICE, policy=policy)


def test_a_function_is_held_against_the_same_policy() -> None:
    policy = Policy(images=("docker.io/library/*",), limits=Ceiling(memory=64))
    function = Function(name="f", image="busybox", limits=Limits(pids=5))
    allowed = policed_function(function, ALICE, policy=policy)
    assert allowed.image == "busybox:latest"
    assert allowed.limits == Limits(pids=5, memory=64)
    assert allowed.labels == {"wherry.remote.token": "alice"}
    for wrong in (
        Function(name="f", image="evil.example/x"),
        Function(name="f", image="busybox", network="host"),
        Function(name="f", image="busybox", mounts=(Mount(target="/m", source="/etc"),)),
        Function(name="f", image="busybox", labels={"wherry.owner": "x"}),
    ):
        with pytest.raises(Forbidden):
            policed_function(wrong, ALICE, policy=policy)


def test_a_tokens_own_table_changes_only_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        """
[default]
images = ["docker.io/library/*"]
limits = { memory = "64m", containers = 3 }

[tokens.alice]
mounts = ["/srv/data:ro"]
limits = { memory = "1g" }
capabilities = ["CAP_net_admin"]
"""
    )
    policies = load_policies(path)
    alice, bob = policies.of("alice"), policies.of("bob")
    assert alice.images == bob.images == ("docker.io/library/*",)
    assert (alice.mounts, bob.mounts) == ((AllowedMount("/srv/data", read_only=True),), ())
    assert alice.limits == Ceiling(memory=1 << 30, containers=3)
    assert bob.limits == Ceiling(memory=64 << 20, containers=3)
    assert alice.capabilities == ("NET_ADMIN",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[defaults]", "did you mean 'default'"),
        ("[default]\nimage = ['**']", "did you mean 'images'"),
        ("[default]\nimages = 'redis'", r"default\.images"),
        ("[default]\nimages = ['redis:*']", "docker.io/library/redis"),
        ("[default]\nports = ['80-70']", "within"),
        ("[default]\nports = [70000]", "within"),
        ("[default]\nports = ['http']", "FIRST-LAST"),
        ("[default]\nmounts = ['/a/../b']", "mounts"),
        ("[default]\ncapabilities = ['ALL']", "capabilities"),
        ("[default]\naddress = 'localhost'", "address"),
        ("[default]\nnetworks = ['-x']", "networks"),
        ("[default]\nlimits = { memory = 0 }", r"limits\.memory"),
        ("[default]\nlimits = { cpu = 1 }", "did you mean 'cpus'"),
        ("[default]\nrandom_ports = 1", "random_ports"),
        ("tokens = 3", "table"),
        ("= 3", "policy.toml"),
    ],
)
def test_a_policy_file_that_is_wrong_names_itself_and_the_key(
    tmp_path: Path, text: str, named: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=named) as caught:
        load_policies(path)
    assert str(path) in str(caught.value)
