"""What a function becomes in the engine's words, and what it cannot become."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from wherry.engines.docker.layout import Layout, files_of
from wherry.engines.docker.options import Profile, create_body
from wherry.errors import Unsupported, UsageError
from wherry.models import Collect, File, Function, Invocation, Limits, Mount, Secret

MIB = 1024 * 1024


def function(**fields: Any) -> Function:
    return Function(**{"name": "f", "image": "busybox", **fields})


def body(*, args: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return create_body(Invocation(function=function(**fields), args=args), profile=Profile())


def host(**fields: Any) -> dict[str, Any]:
    config: dict[str, Any] = body(**fields)["HostConfig"]
    return config


def test_stdin_is_open_once_and_there_is_no_tty() -> None:
    made = body()
    assert (made["OpenStdin"], made["StdinOnce"], made["AttachStdin"]) == (True, True, True)
    assert made["Tty"] is False


def test_the_profile_is_safe_unless_the_function_says_otherwise() -> None:
    made = host()
    assert made["NetworkMode"] == "none"
    assert made["CapDrop"] == ["ALL"]
    assert made["SecurityOpt"] == ["no-new-privileges"]
    assert made["Init"] is True
    assert made["PidsLimit"] == 1024
    assert made["AutoRemove"] is False
    assert made["LogConfig"]["Type"] == "none"
    assert "Privileged" not in made


@pytest.mark.parametrize(
    ("network", "mode"), [("none", "none"), ("private", "bridge"), ("host", "host")]
)
def test_the_network_is_loosened_by_name(network: str, mode: str) -> None:
    assert host(network=network)["NetworkMode"] == mode


def test_the_private_network_is_the_one_of_the_profile() -> None:
    invocation = Invocation(function=function(network="private"))
    made = create_body(invocation, profile=Profile(private_network="own", runtime="runsc"))
    assert made["HostConfig"]["NetworkMode"] == "own"
    assert made["HostConfig"]["Runtime"] == "runsc"


def test_arguments_follow_the_command() -> None:
    assert body(command=("a", "b"), args=("c",))["Cmd"] == ["a", "b", "c"]
    assert body(args=("c",))["Cmd"] == ["c"]
    assert "Cmd" not in body()


def test_an_entrypoint_is_left_replaced_or_cleared() -> None:
    assert "Entrypoint" not in body()
    assert body(entrypoint=("x", "y"))["Entrypoint"] == ["x", "y"]
    assert body(entrypoint=())["Entrypoint"] == [""]


def test_the_call_adds_to_the_environment_of_the_function() -> None:
    call = Invocation(function=function(env={"A": "1", "B": "2"}), env={"B": "3", "C": "=x"})
    assert create_body(call, profile=Profile())["Env"] == ["A=1", "B=3", "C==x"]


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A": "x\0y"}])
def test_an_environment_that_cannot_be_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="env"):
        body(env=env)


def test_plain_fields_are_passed_on() -> None:
    made = body(
        user="1:2", workdir="/w", hostname="h", stop_signal="SIGINT", labels={"mine": "yes"}
    )
    assert (made["User"], made["WorkingDir"], made["Hostname"]) == ("1:2", "/w", "h")
    assert made["StopSignal"] == "SIGINT"
    assert made["Labels"]["mine"] == "yes"


def test_every_container_says_whose_it_is() -> None:
    invocation = Invocation(function=function(limits=Limits(timeout=5)))
    labels = create_body(invocation, profile=Profile())["Labels"]
    assert labels["wherry.invocation"] == invocation.id
    assert labels["wherry.function"] == "f"
    assert set(labels) >= {"wherry.owner", "wherry.host", "wherry.deadline"}
    assert float(labels["wherry.deadline"]) > 1e9
    assert body()["Labels"]["wherry.deadline"] == ""


def test_limits_are_sent_in_the_engines_units() -> None:
    made = host(limits=Limits(memory=64 * MIB, cpus=1.5, pids=7))
    assert (made["Memory"], made["MemorySwap"]) == (64 * MIB, 64 * MIB)
    assert (made["NanoCpus"], made["PidsLimit"]) == (1_500_000_000, 7)


def test_a_memory_limit_below_the_engines_least_is_raised_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert host(limits=Limits(memory=MIB))["Memory"] == 6 * MIB
    assert [record.message for record in caplog.records] == [
        "memory limit raised to the lowest that Docker accepts"
    ]


@pytest.mark.parametrize(
    "limits", [Limits(cpus=0), Limits(cpus=-1), Limits(pids=0), Limits(tmp=100)]
)
def test_limits_that_cannot_be_are_refused(limits: Limits) -> None:
    with pytest.raises(UsageError, match="limits"):
        body(limits=limits)


def test_mounts_are_private_and_read_only_unless_they_say_otherwise() -> None:
    made = host(mounts=(Mount(target="/in", source="/data"), Mount(target="/t", type="tmpfs")))
    (bind,) = made["Mounts"]
    assert (bind["Type"], bind["Source"], bind["ReadOnly"]) == ("bind", "/data", True)
    assert bind["BindOptions"] == {"Propagation": "rprivate"}
    assert made["Tmpfs"]["/t"].startswith("rw")
    (sized,) = host(mounts=(Mount(target="/t", type="tmpfs", size=9),))["Tmpfs"].values()
    assert sized.endswith(",size=9")


@pytest.mark.parametrize(
    "mount",
    [
        Mount(target="relative", source="/x"),
        Mount(target="/", source="/x"),
        Mount(target="/a/../b", source="/x"),
        Mount(target="/t"),
        Mount(target="/t", source="relative"),
        Mount(target="/t", type="tmpfs", source="/x"),
        Mount(target="/t", type="tmpfs", size=0),
    ],
)
def test_mounts_that_cannot_be_are_refused(mount: Mount) -> None:
    with pytest.raises(UsageError, match="mounts"):
        body(mounts=(mount,))


def test_secrets_live_in_a_volume_and_in_no_field_of_the_container() -> None:
    made = body(secrets=(Secret(name="key", value=b"s3cr3t"),))
    assert made["HostConfig"]["Mounts"] == [{"Type": "volume", "Target": "/run/secrets"}]
    assert "s3cr3t" not in repr(made)
    (file,) = files_of(function(secrets=(Secret(name="key", value=b"s3cr3t"),)))
    assert (file.target, file.data, file.mode) == ("/run/secrets/key", b"s3cr3t", 0o444)


@pytest.mark.parametrize(("read_only", "volumes"), [(True, ["/var/openfaas/secrets"]), (False, [])])
def test_a_deployed_functions_secrets_fit_below_a_read_only_root(
    read_only: bool, volumes: list[str]
) -> None:
    file = File(target="/var/openfaas/secrets/key", data=b"")
    made = body(files=(file,), read_only=read_only)
    mounts = [mount["Target"] for mount in made["HostConfig"].get("Mounts", ())]
    assert [target for target in mounts if target.startswith("/var")] == volumes


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc/passwd"])
def test_a_secrets_name_cannot_lead_elsewhere(name: str) -> None:
    with pytest.raises(UsageError, match="plain file name"):
        body(secrets=(Secret(name=name, value=b""),))


def test_below_a_read_only_root_tmp_and_run_can_be_written() -> None:
    made = host(read_only=True)
    assert made["ReadonlyRootfs"] is True
    assert set(made["Tmpfs"]) == {"/tmp", "/run"}
    assert host(read_only=True, mounts=(Mount(target="/tmp", source="/x"),))["Tmpfs"].keys() == {
        "/run"
    }


def test_the_limit_of_writes_is_shared_by_all_that_can_be_written() -> None:
    made = host(read_only=True, limits=Limits(tmp=MIB))
    sizes = [int(options.rpartition("=")[2]) for options in made["Tmpfs"].values()]
    assert sum(sizes) + made["ShmSize"] == MIB
    assert host(limits=Limits(tmp=MIB))["StorageOpt"] == {"size": str(MIB)}


def test_files_below_a_read_only_root_need_a_place_that_can_be_written() -> None:
    with pytest.raises(Unsupported, match="read-only root"):
        body(read_only=True, files=(File(target="/etc/x", data=b""),))
    made = host(read_only=True, files=(File(target="/tmp/x", data=b""),))
    assert made["Mounts"] == [{"Type": "volume", "Target": "/tmp"}]
    assert set(made["Tmpfs"]) == {"/run"}
    with pytest.raises(Unsupported, match=r"limits\.tmp"):
        body(read_only=True, files=(File(target="/tmp/x", data=b""),), limits=Limits(tmp=MIB))


def test_files_and_collected_paths_cannot_be_inside_of_a_mount() -> None:
    bind = Mount(target="/data", source="/x", read_only=False)
    with pytest.raises(Unsupported, match="inside the mount '/data'"):
        body(mounts=(bind,), files=(File(target="/data/x", data=b""),))
    tmpfs = Mount(target="/scratch", type="tmpfs")
    with pytest.raises(Unsupported, match="inside the mount '/scratch'"):
        body(mounts=(tmpfs,), collect=(Collect(path="/scratch", to="/out"),))


def test_an_archive_goes_to_the_volume_its_files_are_in() -> None:
    layout = Layout.of(function(secrets=(Secret(name="a", value=b""),)))
    assert layout.base("/run/secrets/a") == "/run/secrets"
    assert layout.base("/run/secretsx") == "/"
    assert layout.base("/etc/x") == "/"


@pytest.mark.parametrize(
    "file",
    [File(target="/x"), File(target="/x", source="/y", data=b""), File(target="x", data=b"")],
)
def test_files_that_cannot_be_are_refused(file: File) -> None:
    with pytest.raises(UsageError):
        body(files=(file,))
