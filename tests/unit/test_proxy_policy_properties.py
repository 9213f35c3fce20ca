"""Whatever comes in, what goes out is what a second, independent list allows."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.support.proxy_allowed import Allowed

from wherry.proxy.policy import containers, exec_, networks, routing, strict_json, volumes
from wherry.proxy.policy.dockerfile import parse as parse_dockerfile
from wherry.proxy.policy.dockerfile import write as write_dockerfile
from wherry.proxy.policy.model import (
    Denied,
    Found,
    FoundImage,
    Kind,
    Limits,
    Named,
    Policy,
    TenantView,
)

POLICY = Policy(limits=Limits())
TENANT = TenantView("ten", POLICY, network="9" * 64, cgroup_parent="/wherry/ten")
IMAGE = "sha256:" + "3" * 64
FEW = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NUMBERS = [0, 1, -1, 2**40, 2**63, True, 1.5, 1000]
WORDS = [
    "", "host", "none", "default", "bridge", "private", "container:web", "container:victim", "web",
    "/", "/etc:/x", "data:/data", "data:/data:ro,z", "a:/b:rw", "/var/run/docker.sock", "ALL",
    "NET_RAW", "SYS_ADMIN", "seccomp=unconfined", "no-new-privileges", "unconfined", "on-failure",
    "always", "volume", "bind", "tmpfs", "image", "npipe", "/proc/self/fd/8", "/srv", "../..",
    "local", "overlay", "json-file", "syslog", "h:host-gateway", "h:10.0.0.1", "size=1m", "suid",
    "wherry.proxy.tenant", "traefik.enable", "label", "10m", "core", "nofile", "1.1.1.1", "mynet",
    "net.ipv4.ip_forward", "80/tcp", "22", "0.0.0.0", "x" * 300, "a\nb", "\u017f",
]  # fmt: skip
CONFIG_KEYS = [
    "Image", "Cmd", "Entrypoint", "Env", "User", "WorkingDir", "Labels", "Volumes", "Healthcheck",
    "StopSignal", "StopTimeout", "MacAddress", "NetworkDisabled", "HostConfig", "hostconfig",
    "NetworkingConfig", "Privileged", "Binds", "ExposedPorts", "Hostname", "OnBuild", "Shell",
]  # fmt: skip
HOST_KEYS = [
    "Privileged", "Binds", "Mounts", "VolumesFrom", "VolumeDriver", "Tmpfs", "Devices",
    "DeviceRequests", "DeviceCgroupRules", "CapAdd", "CapDrop", "SecurityOpt", "MaskedPaths",
    "ReadonlyPaths", "PidMode", "IpcMode", "UTSMode", "UsernsMode", "CgroupnsMode", "Cgroup",
    "NetworkMode", "CgroupParent", "Links", "Runtime", "Sysctls", "OomScoreAdj", "OomKillDisable",
    "MemorySwappiness", "Ulimits", "ShmSize", "Memory", "MemorySwap", "NanoCpus", "CpuQuota",
    "CpuPeriod", "CpuShares", "PidsLimit", "PortBindings", "PublishAllPorts", "RestartPolicy",
    "AutoRemove", "LogConfig", "StorageOpt", "Annotations", "GroupAdd", "ExtraHosts", "Dns", "Init",
    "ContainerIDFile", "privileged", "binds", "Bind\u017f", "CpusetCpus", "MemoryReservation",
]  # fmt: skip
INNER_KEYS = [
    "Type", "Source", "Target", "ReadOnly", "BindOptions", "VolumeOptions", "TmpfsOptions", "Name",
    "ImageOptions", "DriverConfig", "Options", "Labels", "Subpath", "NoCopy", "SizeBytes", "Mode",
    "Propagation", "Soft", "Hard", "MaximumRetryCount", "Config", "Test", "Interval", "HostIp",
    "HostPort", "EndpointsConfig", "IPAMConfig", "IPv4Address", "Aliases", "MacAddress", "default",
    "mynet", "host", "DriverOpts", "/data", "/proc", "max-size", "tag", "LinkLocalIPs", "Driver",
]  # fmt: skip

leaves = st.one_of(st.none(), st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.text(max_size=6))
inner = st.recursive(
    leaves,
    lambda down: st.one_of(
        st.lists(down, max_size=3), st.dictionaries(st.sampled_from(INNER_KEYS), down, max_size=4)
    ),
    max_leaves=12,
)
# Values of the right shape, so that not everything is refused for its type.
SHAPED: dict[str, st.SearchStrategy[Any]] = {
    "Binds": st.lists(st.sampled_from(WORDS), max_size=3),
    "Mounts": st.lists(
        st.fixed_dictionaries(
            {"Type": st.sampled_from(["volume", "tmpfs", "image", "bind", "x"]),
             "Target": st.sampled_from(["/x", "/proc/x", "x", "/a/../b"])},
            optional={"Source": st.sampled_from(["", "data", "busybox", "/etc"]),
                      "ReadOnly": st.booleans(),
                      "TmpfsOptions": st.fixed_dictionaries({"SizeBytes": st.integers(0, 2**40)}),
                      "VolumeOptions": inner},
        ), max_size=2,
    ),
    "Tmpfs": st.dictionaries(st.sampled_from(["/run", "/proc"]), st.sampled_from(WORDS)),
    "Memory": st.integers(-1, 2**50),
    "NanoCpus": st.integers(-1, 2**50),
    "PidsLimit": st.integers(-2, 2**50),
    "ShmSize": st.integers(0, 2**50),
    "CapDrop": st.lists(st.sampled_from(["ALL", "NET_RAW", "cap_chown"]), max_size=2),
    "NetworkMode": st.sampled_from(["", "default", "bridge", "none", "host", "mynet",
                                    "container:web", "container:"]),
    "PidMode": st.sampled_from(["", "host", "container:web"]),
    "IpcMode": st.sampled_from(["", "host", "private", "shareable", "none", "container:none"]),
    "RestartPolicy": st.fixed_dictionaries(
        {"Name": st.sampled_from(["", "no", "on-failure", "always"]),
         "MaximumRetryCount": st.integers(-1, 99)}),
    "LogConfig": st.fixed_dictionaries(
        {"Type": st.sampled_from(["", "local", "none", "syslog"]),
         "Config": st.dictionaries(st.sampled_from(["max-size", "max-file", "tag"]),
                                   st.sampled_from(["1m", "9g", "3", "99", "x"]))}),
    "Ulimits": st.lists(st.fixed_dictionaries(
        {"Name": st.sampled_from(["core", "nofile", "rtprio"]), "Soft": st.integers(-1, 2**40),
         "Hard": st.integers(-1, 2**40)}), max_size=2),
    "VolumesFrom": st.lists(st.sampled_from(["web", "web:ro", "web:z"]), max_size=2),
}  # fmt: skip
endpoint = st.fixed_dictionaries(
    {},
    optional={"Aliases": st.just(["w"]), "Links": st.just(["web:w"]),
              "MacAddress": st.sampled_from(["", "", "02:42:ac:11:00:02"]),
              "IPAMConfig": st.fixed_dictionaries({"IPv4Address": st.just("10.0.0.5")}),
              "DriverOpts": st.sampled_from([None, {}, {"x": "y"}])},
)  # fmt: skip
host_config = st.one_of(
    st.none(),
    st.fixed_dictionaries({}, optional=SHAPED),
    st.lists(st.sampled_from(HOST_KEYS), max_size=4).flatmap(
        lambda keys: st.fixed_dictionaries({key: SHAPED.get(key, inner) for key in keys})
    ),
)
bodies = st.fixed_dictionaries(
    {"Image": st.just("busybox"), "HostConfig": host_config},
    optional={
        "Labels": st.dictionaries(st.sampled_from(WORDS), st.just("x"), max_size=2),
        "WorkingDir": st.sampled_from(["", "/srv", "/proc/self/fd/8", "//proc/x", "/./sys"]),
        "NetworkingConfig": st.fixed_dictionaries(
            {"EndpointsConfig": st.dictionaries(
                st.sampled_from(["default", "mynet", "host", "none", "bridge"]), endpoint)}),
        "Healthcheck": st.fixed_dictionaries(
            {"Test": st.just(["CMD", "true"]),
             "Interval": st.sampled_from([0, 1, 10**9, 10**10])}),
    },
)  # fmt: skip
anything = st.dictionaries(st.sampled_from(CONFIG_KEYS), inner, max_size=6)


def found(needed: tuple[Named, ...]) -> Found:
    """Answer every look-up, as a registry does that has all of it."""
    ids = {named.text: f"{number:064x}" for number, named in enumerate(needed, 1)}

    def of(kind: Kind) -> dict[str, str]:
        return {named.text: ids[named.text] for named in needed if named.kind is kind}

    return Found(
        containers=of(Kind.CONTAINER),
        networks=of(Kind.NETWORK),
        volumes={name: f"ten.{name}" for name in of(Kind.VOLUME)},
        images={name: FoundImage(IMAGE, labels={"traefik.enable": "1"}) for name in of(Kind.IMAGE)},
    )


def violations(body: dict[str, Any]) -> list[str]:
    """Return what of the rendered body is not allowed; nothing for a refused one."""
    try:
        created = containers.parse_create(json.dumps(body).encode(), POLICY)
    except Denied as denied:
        explained = 400 <= denied.status < 500 and denied.message and denied.rule
        return [] if explained else [f"a refusal that says too little: {denied!r}"]
    known = found(created.references)
    out = json.loads(strict_json.dump(created.render(known, TENANT, name="web")))
    limits = POLICY.limits
    allowed = Allowed(
        "ten", TENANT.network, "/wherry/ten", set(known.containers.values()),
        set(known.networks.values()), set(known.volumes.values()), {IMAGE}, limits.memory,
        int(limits.cpus * 1e9), limits.pids, limits.shm, limits.tmpfs,
    )  # fmt: skip
    return list(allowed.violations(out))


@FEW
@given(bodies)
@example({"Image": "busybox"})
@example({"Image": "busybox", "HostConfig": {"IpcMode": "container:none"}})
def test_a_rendered_create_is_within_the_independent_list(body: dict[str, Any]) -> None:
    assert violations(body) == []


@FEW
@given(anything)
def test_any_json_at_all_is_refused_or_comes_out_harmless(body: dict[str, Any]) -> None:
    assert violations(body) == []


@FEW
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    for parse in (
        lambda: containers.parse_create(body, POLICY),
        lambda: exec_.parse_create(body, POLICY),
        lambda: networks.parse_create(body, POLICY),
        lambda: volumes.parse_create(body, POLICY),
    ):
        with contextlib.suppress(Denied):
            parse()


@FEW
@given(
    st.dictionaries(
        st.sampled_from(["Name", "Driver", "Options", "DriverOpts", "IPAM", "Labels", "Internal"]),
        inner,
    )
)
def test_networks_and_volumes_never_take_options_over(body: dict[str, Any]) -> None:
    text = json.dumps(body).encode()
    try:
        out = networks.parse_create(text, POLICY).render(TENANT)
    except Denied:
        pass
    else:
        assert set(out) == {"Name", "CheckDuplicate", "Driver", "Internal", "Labels"}
        assert str(out["Name"]).startswith("ten.")
    try:
        volume = volumes.parse_create(text, POLICY).render(TENANT)
    except Denied:
        return
    options = volume.pop("DriverOpts", {"type": "tmpfs", "device": "tmpfs", "o": ""})
    assert isinstance(options, dict)
    assert (options["type"], options["device"]) == ("tmpfs", "tmpfs")
    assert set(volume) <= {"Driver", "Labels", "Name"}


@FEW
@given(
    st.sampled_from(["GET", "POST", "DELETE", "HEAD", "PUT"]),
    st.lists(
        st.sampled_from(
            ["/", "v1.41", "containers", "json", "..", ".", "%2e", "%2f", "images", "x", "create",
             "?", "&", "=", "all", "\\", ";", "\x00", "é", "networks", "exec", "a" * 64, "_ping"]
        ), max_size=8,
    ).map(lambda parts: "/" + "".join(parts)),
)  # fmt: skip
def test_a_route_is_an_endpoint_or_a_refusal_and_its_name_is_plain(method: str, path: str) -> None:
    try:
        found = routing.route(method, path.encode("utf-8"))
    except Denied:
        return
    assert ".." not in found.name.split("/")
    assert found.name.isascii()
    assert not set(found.name) & set("%?#\\\0 ")


DOCKERFILE_LINES = [
    "FROM busybox", "FROM victim", "from victim as x", "FROM ${X}", "RUN true \\", "RUN x", "#c",
    "# syntax=evil", "COPY --from=victim /a /b", "COPY --from=x . .", "FRO\\", "M victim", "\\", "",
    "COPY --from=0 /a /b", "ONBUILD RUN x", "ADD http://x /y", "ADD a /b", "RUN <<EOF", "EOF",
    "WORKDIR /proc/self", "WORKDIR /srv", "LABEL a=b", "\tFROM busybox AS y", "ARG X=1", "COPY \\",
    "--from=victim / /", "CMD x \\ ", " # x", "RUN echo \\\\", "ENTRYPOINT [\"a\"]", "\u00a0FROM x",
]  # fmt: skip


@FEW
@given(st.lists(st.sampled_from(DOCKERFILE_LINES), max_size=8).map("\n".join))
def test_a_new_dockerfile_says_the_same_when_it_is_read_again(text: str) -> None:
    try:
        first = parse_dockerfile(text.encode(), POLICY)
    except Denied:
        return
    ids = {each.image: IMAGE for each in first if each.image}
    again = parse_dockerfile(write_dockerfile(first, ids, marks={}), POLICY)
    assert [each.word for each in again] == [each.word for each in first]
    named = {each.image for each in again if each.image}
    assert named <= {IMAGE}
    assert b"victim" not in write_dockerfile(
        tuple(each for each in again if each.word == "FROM" or each.flags), {IMAGE: IMAGE}, marks={}
    )


@pytest.mark.parametrize("value", [None, 1, "x", [], [{}], 1.5, True])
def test_a_body_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(Denied):
        containers.parse_create(json.dumps(value).encode(), POLICY)
