"""What is asked for a scoped socket in one line, and what a tenant below may have."""

from __future__ import annotations

import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from wherry.errors import UsageError
from wherry.proxy import quick
from wherry.proxy.inject import injection
from wherry.proxy.nests import below
from wherry.proxy.policy.model import Denied, Profile
from wherry.proxy.policy.toml import parse_policy
from wherry.proxy.tenants.cgroups import Ceiling, Cgroups
from wherry.proxy.tenants.places import Places, check_tenant_name, nested_name, socket_directory
from wherry.server.docker_api import wish
from wherry.server.injecting import injected_words

if TYPE_CHECKING:
    from wherry.proxy.handlers.scope import Scope


def test_a_line_of_limits_is_a_policy() -> None:
    text = quick.quick_policy(
        "children:20,memory:2g,cpus:1.5,image:busybox:1.36,image:my/*,profile:ci,build:true"
    )
    policy = parse_policy(text)
    assert (policy.limits.containers, policy.limits.memory) == (20, 2 * 1024**3)
    assert policy.limits.cpus == 1.5
    assert policy.images == ("busybox:1.36", "my/*")
    assert policy.profile is Profile.CI
    assert policy.build


@pytest.mark.parametrize("text", ["", "true", "default"])
def test_no_limits_are_the_defaults(text: str) -> None:
    assert parse_policy(quick.quick_policy(text)) == parse_policy("")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("children", "must be NAME:VALUE"),
        ("childen:3", "did you mean 'children'"),
        ("children:many", "must be a number"),
        ("memory:lots", "memory"),
        ("build:perhaps", "true or false"),
    ],
)
def test_a_wrong_line_says_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        quick.quick_policy(text)


def test_options_add_to_a_file() -> None:
    text = 'images = ["one"]\n[limits]\ncontainers = 3\nmemory = "1g"\n'
    added = quick.overlaid(
        text, profile="readonly", limits=["containers:5"], images=["two"], pulls=["three"]
    )
    policy = parse_policy(added)
    assert (policy.images, policy.pull) == (("one", "two"), ("three",))
    assert (policy.limits.containers, policy.limits.memory) == (5, 1024**3)
    assert policy.profile is Profile.READONLY


def test_what_is_written_is_read_again() -> None:
    document = {"a b": 'quote " and \\ and ü', "list": ["x", 1, True], "table": {"k": 1.5}}
    assert tomllib.loads(quick.dump(document)) == document


def scope(text: str) -> Scope:
    made = SimpleNamespace(
        policy=parse_policy(text), tenant=SimpleNamespace(policy=text), name="ci"
    )
    return cast("Scope", made)


def test_a_tenant_below_has_less_and_never_more() -> None:
    above = scope('images = ["busybox"]\nlimits = {containers = 4, memory = "1g", depth = 2}\n')
    policy = parse_policy(below(above, "containers:2,memory:4g,depth:7"))
    assert policy.images == ("busybox",)
    assert (policy.limits.containers, policy.limits.memory) == (2, 1024**3)
    assert policy.limits.depth == 1


@pytest.mark.parametrize("wanted", ["image:secret", "profile:ci", "host_paths:/etc", "build:true"])
def test_a_tenant_below_cannot_choose_what_it_may_do(wanted: str) -> None:
    with pytest.raises(Denied, match="only limits can be chosen"):
        below(scope(""), wanted)


def test_nobody_is_below_the_last() -> None:
    with pytest.raises(Denied, match="not given any further down"):
        below(scope("limits = {depth = 0}\n"), "true")


def test_a_limit_that_is_none_above_may_be_set_below() -> None:
    assert parse_policy(below(scope(""), "lifetime:1h")).limits.lifetime == 3600.0
    above = scope('limits = {lifetime = "1m"}\n')
    assert parse_policy(below(above, "lifetime:1h")).limits.lifetime == 60.0


def test_a_function_may_name_the_tenant_that_it_shares() -> None:
    assert wish("tenant:poll,children:3") == ("poll", quick.quick_policy("children:3"))
    assert wish("true") == ("", "")
    for text in ("tenant:A.b", "tenant:a,tenant:b"):
        with pytest.raises(UsageError):
            wish(text)


@pytest.mark.parametrize(
    "text",
    ["host_paths:/etc:rw", "capabilities:SYS_ADMIN", "ports:8000-9000", "gpus:true",
     "no_new_privileges:false", "runtimes:x", "drop_capabilities:MKNOD", "labels:traefik."],
)  # fmt: skip
def test_a_function_cannot_open_the_machine_for_itself(text: str) -> None:
    """Who may deploy a function has no right to the host by that."""
    with pytest.raises(UsageError, match="opens something of this machine"):
        wish(f"children:3,{text}")


@pytest.mark.parametrize("name", ["", "A", "a.b", "-a", "a-", "a" * 33, "a/b", "..", "a\n"])
def test_a_tenants_name_is_no_path_and_has_no_dot(name: str) -> None:
    with pytest.raises(UsageError):
        check_tenant_name(name)


def test_names_further_down_are_names() -> None:
    name = "a" * 32
    for _ in range(5):
        name = check_tenant_name(nested_name(name))


def test_sockets_of_tenants_are_each_in_a_directory_of_its_own(tmp_path: Path) -> None:
    one, two = socket_directory(tmp_path / "s"), socket_directory(tmp_path / "s")
    assert one != two
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert one.stat().st_mode & 0o777 == 0o755
    assert str(one) in injection(one).source


def test_a_path_that_is_too_long_for_a_socket_is_told_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="longer path than the kernel takes"):
        socket_directory(tmp_path / ("x" * 100))


def test_directories_of_commands_are_told_from_those_of_tenants(tmp_path: Path) -> None:
    places = Places(tmp_path)
    assert (places.left(), places.all()) == ([], [])
    for path in (places.of("ci"), places.fleeting()):
        path.mkdir()
        (path / "registry.db").touch()
    assert len(places.left()) == 1
    assert len(places.all()) == 2


def test_options_go_behind_the_verb_of_a_docker_command() -> None:
    words = ["docker", "-H", "x", "run", "-i", "image", "run"]
    assert injected_words(words, options=["-e", "A=1"]) == [
        "docker", "-H", "x", "run", "-e", "A=1", "-i", "image", "run",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="docker run IMAGE"):
        injected_words(["docker", "ps"], options=[])


def test_control_groups_of_version_2_hold_a_tenant_and_those_below_it(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").touch()
    groups = Cgroups("wherry-proxy/x", root=tmp_path)
    ceiling = Ceiling(memory=1000, pids=5, nano_cpus=1_500_000_000)
    assert groups.make("ci", ceiling) == "/wherry-proxy/x/ci"
    assert groups.make("ci/below", ceiling) == "/wherry-proxy/x/ci/below"
    place = tmp_path / "wherry-proxy/x/ci"
    assert (place / "memory.max").read_text() == "1000"
    assert (place / "cpu.max").read_text() == "150000 100000"
    assert (place / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    assert (place / "below/pids.max").read_text() == "5"


def test_control_groups_of_version_1_are_one_in_each_hierarchy(tmp_path: Path) -> None:
    for kind in ("memory", "pids", "cpu"):
        (tmp_path / kind).mkdir()
    groups = Cgroups("base", root=tmp_path)
    assert groups.make("ci", Ceiling(memory=1000, pids=5, nano_cpus=10**9)) == "/base/ci"
    assert (tmp_path / "memory/base/ci/memory.limit_in_bytes").read_text() == "1000"
    assert (tmp_path / "pids/base/ci/pids.max").read_text() == "5"
    assert (tmp_path / "cpu/base/ci/cpu.cfs_quota_us").read_text() == "100000"
