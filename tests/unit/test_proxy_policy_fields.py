"""Every field of a container's body, by the contract's table: what is refused, what comes out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from wherry.proxy.policy import config, containers, hostconfig
from wherry.proxy.policy.described import CONFIG_FIELDS, HOST_FIELDS
from wherry.proxy.policy.fields import Fields
from wherry.proxy.policy.model import (
    Denied,
    Found,
    FoundImage,
    HostPath,
    Injection,
    Kind,
    Limits,
    Policy,
    Ports,
    TenantView,
)

IMAGE = "sha256:" + "3" * 64
NET, OWN = "9" * 64, "5" * 64
MIB = 1024 * 1024


def rendered(policy: Policy | None = None, **body: Any) -> dict[str, Any]:
    """Return what goes to the engine; every name that is asked for is the tenant's."""
    policy = policy or Policy()
    created = containers.parse_create(json.dumps({"Image": "busybox", **body}).encode(), policy)

    def of(kind: Kind, value: str) -> dict[str, str]:
        return {named.text: value for named in created.references if named.kind is kind}

    found = Found(
        containers=of(Kind.CONTAINER, OWN),
        networks=of(Kind.NETWORK, "7" * 64),
        volumes={name: f"ten.{name}" for name in of(Kind.VOLUME, "")},
        images={name: FoundImage(IMAGE) for name in of(Kind.IMAGE, "")},
        host_paths={path: path for path in of(Kind.HOST_PATH, "")},
    )
    tenant = TenantView("ten", policy, NET, "/wherry/ten", closed_paths=("/run/wherry",))
    return created.render(found, tenant, name="web")


def host(policy: Policy | None = None, **fields: Any) -> dict[str, Any]:
    out = rendered(policy, HostConfig=fields)["HostConfig"]
    assert isinstance(out, dict)
    return out


REFUSED_HOST: list[tuple[str, Any]] = [
    ("Privileged", True), ("Binds", ["/:/x"]), ("Binds", ["/run/wherry:/x"]), ("Binds", ["a:/x:z"]),
    ("Binds", ["a:/x:rshared"]), ("Binds", ["a:/x:ro,rw"]), ("Binds", ["a:b:c:d"]),
    ("Binds", ["a:/proc/x"]), ("Binds", ["a:/"]),
    ("Mounts", [{"Type": "bind", "Source": "/etc", "Target": "/x"}]),
    ("Mounts", [{"Type": "cluster", "Source": "x", "Target": "/x"}]),
    ("Mounts", [{"Type": "", "Source": "x", "Target": "/x"}]),
    ("Mounts", [{"Type": "volume", "Source": "x", "Target": "relative"}]),
    ("Mounts", [{"Type": "tmpfs", "Source": "x", "Target": "/x"}]),
    ("Mounts", [{"Type": "volume", "Target": "/x", "BindOptions": {"Propagation": "shared"}}]),
    ("Mounts", [{"Type": "volume", "Target": "/x", "BindOptions": {"CreateMountpoint": True}}]),
    ("Mounts", [{"Type": "volume", "Target": "/x", "ClusterOptions": {"x": 1}}]),
    ("Mounts", [{"Type": "image", "Source": "busybox", "Target": "/x",
                 "ImageOptions": {"Subpath": "../x"}}]),
    ("Mounts", [{"Type": "tmpfs", "Target": "/x", "TmpfsOptions": {"Options": [["dev"]]}}]),
    ("VolumesFrom", ["web:z"]), ("VolumeDriver", "nfs"), ("Tmpfs", {"/x": "suid"}),
    ("Tmpfs", {"/sys/x": ""}), ("Devices", [{}]), ("DeviceRequests", [{}]),
    ("DeviceCgroupRules", ["a"]), ("CapAdd", ["NET_ADMIN"]), ("CapAdd", ["all"]),
    ("CapDrop", ["$x"]), ("SecurityOpt", ["label=disable"]), ("SecurityOpt", ["apparmor:x"]),
    ("SecurityOpt", ["no-new-privileges:false"]), ("SecurityOpt", [""]), ("MaskedPaths", []),
    ("MaskedPaths", ["/x"]), ("ReadonlyPaths", []), ("PidMode", "host"), ("PidMode", "container:"),
    ("PidMode", "container:a/b"), ("IpcMode", "host"), ("IpcMode", "Private"), ("UTSMode", "host"),
    ("UsernsMode", "host"), ("CgroupnsMode", "host"), ("Cgroup", "container:web"),
    ("NetworkMode", "host"), ("NetworkMode", "ns:/proc/1/ns/net"), ("NetworkMode", "container:"),
    ("Links", ["web:x"]), ("Runtime", "runc"), ("Sysctls", {"net.x": "1"}), ("OomScoreAdj", -1),
    ("OomScoreAdj", 5000), ("OomKillDisable", True), ("CpuRealtimePeriod", 1),
    ("CpuRealtimeRuntime", 1), ("MemorySwappiness", 60), ("BlkioWeight", 10),
    ("BlkioWeightDevice", [{}]), ("BlkioDeviceReadBps", [{}]), ("BlkioDeviceWriteBps", [{}]),
    ("BlkioDeviceReadIOps", [{}]), ("BlkioDeviceWriteIOps", [{}]), ("CpusetMems", "0"),
    ("CpusetCpus", "0;1"), ("Ulimits", [{"Name": "nice", "Soft": 1, "Hard": 1}]),
    ("Memory", -1), ("Memory", "1g"), ("Memory", 1.0), ("Memory", True), ("CpuShares", -1),
    ("PidsLimit", -2), ("PortBindings", {"80/tcp": []}), ("PublishAllPorts", True),
    ("RestartPolicy", {"Name": "always"}), ("RestartPolicy", {"Name": "unless-stopped"}),
    ("LogConfig", {"Type": "fluentd"}), ("LogConfig", {"Type": "gelf"}),
    ("LogConfig", {"Type": "json-file", "Config": {"env": "X"}}),
    ("LogConfig", {"Config": {"max-size": "x"}}), ("StorageOpt", {"x": "1"}),
    ("Annotations", {"a": "b"}), ("GroupAdd", ["docker"]), ("ExtraHosts", ["h:host-gateway"]),
    ("ExtraHosts", ["h"]), ("Dns", ["x"]), ("DnsSearch", ["a b"]), ("DnsOptions", ["a b"]),
    ("ContainerIDFile", "/x"), ("Isolation", "hyperv"), ("CpuCount", 1), ("CpuPercent", 1),
    ("IOMaximumIOps", 1), ("IOMaximumBandwidth", 1), ("KernelMemory", 1), ("KernelMemoryTCP", 1),
    ("Capabilities", ["ALL"]), ("LxcConf", [{}]), ("Unknown", "x"), ("Init", "true"),
    ("StorageOpt", {"size": "1" * 400}), ("Tmpfs", {"/x": "size=" + "9" * 400}),
    ("Tmpfs", {"/x": "nr_inodes=0"}), ("Tmpfs", {"/x": "size=50%"}),
    ("ConsoleSize", [1]), ("NanoCpus", -1), ("StorageOpt", {"size": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), REFUSED_HOST, ids=lambda each: str(each)[:40])
def test_a_field_that_would_escape_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(Denied) as refusal:
        host(**{key: value})
    assert refusal.value.status in (400, 403)
    assert key in refusal.value.message or refusal.value.rule in ("2.3 Mounts", "2.3 Binds")
    assert refusal.value.rule.startswith(("2.3", "G4"))


REFUSED_TOP: list[tuple[str, Any]] = [
    ("Privileged", True), ("Memory", 5), ("Runtime", "x"), ("WorkingDir", "relative"),
    ("WorkingDir", "/sys/x"), ("WorkingDir", "/dev"), ("WorkingDir", "/a/../proc"),
    ("Labels", {"wherry.x": "1"}), ("Labels", {"com.docker.x": "1"}), ("Labels", {"": "1"}),
    ("Labels", {"com.centurylinklabs.watchtower.enable": "1"}), ("Labels", {"a": 1}),
    ("Volumes", {"x:/y": {}}), ("Volumes", {"/proc/x": {}}), ("Healthcheck", {"Interval": 5}),
    ("Healthcheck", {"Test": ["x" * 20000]}), ("StopSignal", "TERM; x"), ("OnBuild", ["RUN x"]),
    ("WorkingDir", "/a" * 4000),
    ("Image", "a" * 600), ("x" * 5000, 1), ("Env", ["=x"]),
    ("User", "a b"), ("Hostname", "a b"), ("ExposedPorts", {"x": {}}),
    ("ExposedPorts", {"80": {"x": 1}}), ("Tty", "yes"), ("Cmd", [1]), ("Image", ""),
    ("Image", "UPPER"), ("Image", "a//b"), ("HostConfig", []), ("Config", {"Image": "x"}),
    ("NetworkingConfig", {"EndpointsConfig": {"host": {}}}),
    ("NetworkingConfig", {"EndpointsConfig": {"default": {"DriverOpts": {"a": "b"}}}}),
    ("NetworkingConfig", {"EndpointsConfig": {"default": {"GwPriority": 5}}}),
    ("NetworkingConfig", {"EndpointsConfig": {"default": {"IPAMConfig": {"IPv4Address": "x"}}}}),
    ("NetworkingConfig", {"Other": {"a": "b"}}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), REFUSED_TOP, ids=lambda each: str(each)[:40])
def test_a_field_at_the_top_that_is_wrong_is_refused(key: str, value: Any) -> None:
    with pytest.raises(Denied) as refusal:
        rendered(**{key: value})
    assert len(refusal.value.message) <= 1001


COPIED: list[tuple[str, Any, Any]] = [
    ("AutoRemove", True, True), ("ReadonlyRootfs", True, True), ("Init", False, False),
    ("Dns", ["1.1.1.1"], ["1.1.1.1"]), ("ExtraHosts", ["a:10.0.0.1"], ["a:10.0.0.1"]),
    ("CapDrop", ["all"], ["ALL"]), ("CapDrop", ["chown"], ["CHOWN", "NET_RAW"]),
    ("IpcMode", "none", "none"), ("PidMode", "container:web", f"container:{OWN}"),
    ("IpcMode", "container:private", f"container:{OWN}"), ("NetworkMode", "none", "none"),
    ("NetworkMode", "bridge", NET), ("NetworkMode", "mynet", "7" * 64),
    ("NetworkMode", "container:web", f"container:{OWN}"), ("CgroupParent", "../x", "/wherry/ten"),
    ("Memory", 64 * MIB, 64 * MIB), ("Memory", 2**60, 2048 * MIB), ("Memory", 0, 512 * MIB),
    ("PidsLimit", -1, 256), ("PidsLimit", 0, 256), ("PidsLimit", 10**6, 2048),
    ("NanoCpus", 0, 10**9), ("NanoCpus", 10**12, 2 * 10**9), ("ShmSize", 2**40, 64 * MIB),
    ("CpuShares", 5000, 1024), ("OomScoreAdj", 500, 500), ("CpusetCpus", "0-1", "0-1"),
    ("RestartPolicy", {"Name": "on-failure"}, {"Name": "on-failure", "MaximumRetryCount": 5}),
    ("RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 2},
     {"Name": "on-failure", "MaximumRetryCount": 2}),
    ("LogConfig", {"Type": "local", "Config": {"max-size": "1m", "max-file": "99"}},
     {"Type": "local", "Config": {"max-size": str(MIB), "max-file": "3"}}),
    ("LogConfig", {},
     {"Type": "json-file", "Config": {"max-size": str(10 * MIB), "max-file": "3"}}),
    ("Tmpfs", {"/run": "noexec,size=1g"}, {"/run": f"noexec,size={256 * MIB}"}),
    ("VolumesFrom", ["web:ro"], [f"{OWN}:ro"]),
    ("Binds", ["data:/data:ro,nocopy"], None), ("SecurityOpt", None, ["no-new-privileges"]),
    ("Privileged", False, False), ("CgroupnsMode", "", "private"), ("MaskedPaths", None, None),
    ("StorageOpt", {"size": "1g"}, {"size": str(2**30)}),
    ("Ulimits", [{"Name": "nofile", "Soft": 10**9, "Hard": -1}],
     [{"Name": "nofile", "Soft": 65536, "Hard": 65536}, {"Name": "core", "Soft": 0, "Hard": 0}]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "given", "expected"), COPIED, ids=lambda each: str(each)[:40])
def test_a_field_comes_out_as_the_table_says(key: str, given: Any, expected: Any) -> None:
    assert host(**{key: given}).get(key) == expected


def test_a_processor_quota_becomes_a_number_of_processors() -> None:
    out = host(CpuQuota=50_000, CpuPeriod=100_000)
    assert out["NanoCpus"] == 5 * 10**8
    assert "CpuQuota" not in out


def test_swap_is_never_given() -> None:
    assert host(Memory=64 * MIB, MemorySwap=-1)["MemorySwap"] == 64 * MIB


def test_a_bind_of_a_name_becomes_a_mount_of_the_tenants_volume() -> None:
    assert host(Binds=["data:/data:ro,nocopy"])["Mounts"] == [
        {"Type": "volume", "Target": "/data", "ReadOnly": True, "Source": "ten.data",
         "VolumeOptions": {"NoCopy": True}}
    ]  # fmt: skip


def test_a_path_of_the_host_is_mounted_only_below_an_open_root() -> None:
    policy = Policy(host_paths=(HostPath("/srv"), HostPath("/out", writable=True)))
    mount = host(policy, Binds=["/srv/a:/x:ro"])["Mounts"][0]
    assert (mount["Source"], mount["BindOptions"]) == ("/srv/a", {"Propagation": "rprivate"})
    assert host(policy, Binds=["/out:/x"])["Mounts"][0]["Source"] == "/out"
    for bad in ("/srv/a:/x", "/out/a:/x:ro", "/srvx:/x:ro", "/srv/../etc:/x:ro"):
        with pytest.raises(Denied):
            host(policy, Binds=[bad])


def test_what_is_below_a_root_that_may_be_written_is_not_mounted_by_the_root_around_it() -> None:
    for roots in ("/srv", "/srv/out"), ("/srv/out", "/srv"):
        policy = Policy(host_paths=tuple(HostPath(p, writable=p == "/srv/out") for p in roots))
        for good in ("/srv/a:/x:ro", "/srv:/x:ro", "/srv/out:/x", "/srv/out:/x:ro"):
            assert host(policy, Binds=[good])["Mounts"]
        for bad in ("/srv/out/link:/x:ro", "/srv/out/link:/x", "/srv:/x", "/srv/outer:/x"):
            with pytest.raises(Denied, match="Binds"):
                host(policy, Binds=[bad])


def test_a_root_that_is_a_link_itself_opens_nothing() -> None:
    policy = Policy(host_paths=(HostPath("/srv"),))
    body = b'{"Image":"busybox","HostConfig":{"Binds":["/srv:/x:ro"]}}'
    created = containers.parse_create(body, policy)
    found = Found(images={"busybox": FoundImage(IMAGE)}, host_paths={"/srv": "/etc"})
    with pytest.raises(Denied, match="/etc"):
        created.render(found, TenantView("ten", policy))


def test_a_real_path_that_left_its_root_by_a_link_is_refused_in_the_end() -> None:
    policy = Policy(host_paths=(HostPath("/srv"),))
    body = b'{"Image":"busybox","HostConfig":{"Binds":["/srv/link:/x:ro"]}}'
    created = containers.parse_create(body, policy)
    found = Found(images={"busybox": FoundImage(IMAGE)}, host_paths={"/srv/link": "/etc"})
    with pytest.raises(Denied, match="/etc"):
        created.render(found, TenantView("ten", policy))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"Test": [], "Interval": 10**9, "StartInterval": 10**9, "Retries": 0}),
        ({"Test": ["CMD", "true"], "Interval": 2 * 10**9},
         {"Test": ["CMD", "true"], "Interval": 2 * 10**9, "StartInterval": 10**9, "Retries": 0}),
    ],
)  # fmt: skip
def test_a_health_check_of_the_image_is_a_second_apart_or_more(
    asked: dict[str, object], expected: dict[str, object]
) -> None:
    body = json.dumps({"Image": "busybox", "Healthcheck": asked}).encode()
    created = containers.parse_create(body, Policy())
    health = {"Test": ["CMD", "x"], "Interval": 10**6, "Timeout": 10**10, "StartInterval": 1}
    found = Found(images={"busybox": FoundImage(IMAGE, healthcheck=health)})
    assert created.render(found, TenantView("ten", Policy()))["Healthcheck"] == expected
    slow = Found(images={"busybox": FoundImage(IMAGE, healthcheck={"Interval": 10**9})})
    assert ("Healthcheck" in created.render(slow, TenantView("ten", Policy()))) is bool(asked)


def test_a_directory_that_holds_sockets_is_never_mounted() -> None:
    policy = Policy(host_paths=(HostPath("/run"),))
    for path in ("/run", "/run/wherry", "/run/wherry/ci"):
        with pytest.raises(Denied):
            host(policy, Binds=[f"{path}:/x:ro"])


def test_ports_are_published_on_the_one_address_within_the_range() -> None:
    policy = Policy(ports=Ports(8000, 8010))
    out = host(policy, PortBindings={"80/tcp": [{"HostPort": "8001"}, {"HostIp": "0.0.0.0"}]})
    assert out["PortBindings"]["80/tcp"] == [
        {"HostIp": "127.0.0.1", "HostPort": "8001"},
        {"HostIp": "127.0.0.1", "HostPort": "8000-8010"},
    ]
    for bad in ({"HostPort": "22"}, {"HostPort": "8009-8011"}, {"HostIp": "10.0.0.1"}):
        with pytest.raises(Denied):
            host(policy, PortBindings={"80/tcp": [bad]})


def test_what_the_policy_opens_is_open_and_no_more() -> None:
    policy = Policy(
        capabilities=frozenset({"NET_ADMIN"}), sysctls=frozenset({"net.a"}), gpus=True,
        groups=frozenset({"7"}), runtimes=frozenset({"crun"}), no_new_privileges=False,
        drop_capabilities=frozenset(), labels=("com.docker.compose.",),
    )  # fmt: skip
    out = rendered(
        policy, Labels={"com.docker.compose.project": "x"},
        HostConfig={"CapAdd": ["CAP_NET_ADMIN"], "Sysctls": {"net.a": "1"}, "GroupAdd": ["7"],
                    "Runtime": "crun", "DeviceRequests": [{"Count": 1, "Capabilities": [["gpu"]]}]},
    )  # fmt: skip
    assert out["HostConfig"]["CapAdd"] == ["NET_ADMIN"]
    assert "SecurityOpt" not in out["HostConfig"]
    assert out["Labels"]["com.docker.compose.project"] == "x"
    with pytest.raises(Denied):
        rendered(policy, Labels={"wherry.proxy.tenant": "x"})
    with pytest.raises(Denied):
        host(policy, CapAdd=["SYS_ADMIN"])


def test_a_container_without_root_says_a_number() -> None:
    policy = Policy(allow_root=False)
    assert rendered(policy, User="1000")["User"] == "1000"
    for bad in ("0", "00", "root", "00:5", "app", "+0"):
        with pytest.raises(Denied, match="User"):
            rendered(policy, User=bad)
    with pytest.raises(Denied, match="User"):
        rendered(policy)


def test_a_body_without_host_config_gets_one() -> None:
    assert rendered()["HostConfig"]["Memory"] == Limits().memory_each
    assert rendered(HostConfig=None)["HostConfig"]["Privileged"] is False


def test_an_image_is_named_by_its_id_and_remembered_by_its_name() -> None:
    out = rendered()
    assert out["Image"] == IMAGE
    assert out["Labels"] == {"wherry.proxy.tenant": "ten", "wherry.proxy.image": "busybox"}


def test_reserved_labels_of_an_image_are_emptied() -> None:
    created = containers.parse_create(b'{"Image":"busybox"}', Policy())
    image = FoundImage(IMAGE, labels={"traefik.enable": "1", "a": "b"})
    out = created.render(Found(images={"busybox": image}), TenantView("ten"))
    assert isinstance(out["Labels"], dict)
    assert out["Labels"]["traefik.enable"] == ""
    assert "a" not in out["Labels"]


def test_an_image_with_a_working_directory_in_proc_does_not_run() -> None:
    created = containers.parse_create(b'{"Image":"busybox"}', Policy())
    image = FoundImage(IMAGE, working_dir="/proc/self/fd/8")
    with pytest.raises(Denied, match="WorkingDir"):
        created.render(Found(images={"busybox": image}), TenantView("ten"))


def test_the_name_becomes_an_alias_in_every_network() -> None:
    joins = {"EndpointsConfig": {"mynet": {"Aliases": ["w"], "IPAddress": "ignored"}}}
    out = rendered(HostConfig={"NetworkMode": "mynet"}, NetworkingConfig=joins)
    assert out["NetworkingConfig"]["EndpointsConfig"] == {"7" * 64: {"Aliases": ["w", "web"]}}
    alone = rendered(NetworkingConfig=joins)["HostConfig"]["NetworkMode"]
    assert alone == "7" * 64


def test_a_nested_socket_is_asked_for_by_a_label_and_mounted_by_us_alone() -> None:
    body = b'{"Image":"busybox","Env":["A=b"],"Labels":{"wherry.docker-api":"children:2"}}'
    created = containers.parse_create(body, Policy())
    assert created.nested == "children:2"
    found = Found(images={"busybox": FoundImage(IMAGE)})
    socket = Injection("/run/wherry/x", "/run/dockhost", ("DOCKER_HOST=unix:///x",))
    out: Any = created.render(found, TenantView("ten"), injection=socket)
    assert out["Env"] == ["A=b", "DOCKER_HOST=unix:///x"]
    assert out["HostConfig"]["Mounts"][0]["Source"] == "/run/wherry/x"
    assert "wherry.docker-api" not in out["Labels"]


def test_clamps_are_told() -> None:
    body = b'{"Image":"busybox","HostConfig":{"Memory":99999999999}}'
    created = containers.parse_create(body, Policy())
    assert "Memory was limited" in created.warnings[0]
    assert created.amounts.memory == Limits().memory


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"Memory": 64 * MIB}, {"Memory": 64 * MIB, "MemorySwap": 64 * MIB}),
        ({"PidsLimit": -1}, {"PidsLimit": 256}),
        ({"NanoCpus": 0, "Memory": 0, "PidsLimit": None}, {}),
        ({"RestartPolicy": {"Name": "no"}}, {"RestartPolicy": {"Name": "no"}}),
        ({"RestartPolicy": {"Name": ""}}, {}),
    ],
)
def test_an_update_changes_what_it_names_within_the_quota(body: Any, expected: Any) -> None:
    assert containers.parse_update(json.dumps(body).encode(), Policy()).render() == expected


def named(table: Mapping[str, str]) -> set[str]:
    return {name for names in table for name in names.split(", ")}


def test_the_reference_has_every_field_that_is_read_and_no_other() -> None:
    fields = Fields({}, section="")
    hostconfig.parse(fields, Policy())
    assert named(HOST_FIELDS) == fields.known
    fields = Fields({}, section="")
    config.parse(fields, Policy())
    others = {"Image", "HostConfig", "NetworkingConfig", "Runtime"}
    assert named(CONFIG_FIELDS) == fields.known | others


def test_the_reference_is_what_the_policy_says() -> None:
    script = Path(__file__).parents[2] / "scripts" / "proxy_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run `python scripts/proxy_reference.py`"
