from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wherry.errors import UsageError
from wherry.models import Collect, File, Function, Limits, Mount, Ready, Secret
from wherry.options import Options, build_function, override


def built(**options: Any) -> Function:
    return build_function("busybox", options=options)  # type: ignore[arg-type]


def test_an_image_alone_is_a_function_with_defaults() -> None:
    assert build_function("busybox") == Function(name="busybox", image="busybox")


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("registry:5000/team/tool:2", "tool"),
        ("team/tool@sha256:" + "0" * 64, "tool"),
    ],
)
def test_a_function_without_a_name_has_the_last_part_of_its_image(image: str, name: str) -> None:
    assert build_function(image).name == name


def test_every_option_finds_its_field(tmp_path: Path) -> None:
    options: Options = {
        "name": "greet",
        "env": {"A": "1"},
        "entrypoint": ["/bin/sh", "-c"],
        "user": 1000,
        "workdir": "/srv",
        "hostname": "box",
        "network": "host",
        "mounts": ["/a:/b:ro", Mount(target="/c", source="/d")],
        "tmpfs": {"/scratch": "64m"},
        "secrets": {"token": b"t", "key": "/etc/key"},
        "files": {"/in": b"data", "/cfg": tmp_path / "cfg"},
        "collect": {"/out": tmp_path},
        "memory": "512m",
        "cpus": 1.5,
        "pids": 64,
        "tmp": "1g",
        "timeout": "1m30s",
        "stdout_limit": "1k",
        "read_only": True,
        "labels": ["team=red", "plain"],
        "stop_signal": "int",
        "pull": "never",
        "platform": "linux/amd64",
        "concurrency": 3,
        "ready": 20,
    }
    function = build_function("busybox", ["echo", "hi"], options=options)
    assert function == Function(
        name="greet",
        image="busybox",
        command=("echo", "hi"),
        entrypoint=("/bin/sh", "-c"),
        env={"A": "1"},
        limits=Limits(
            timeout=90.0, memory=512 * 1024**2, cpus=1.5, pids=64, stdout=1024, tmp=1024**3
        ),
        user="1000",
        workdir="/srv",
        hostname="box",
        network="host",
        mounts=(
            Mount(target="/b", source="/a", read_only=True),
            Mount(target="/c", source="/d"),
            Mount(target="/scratch", type="tmpfs", read_only=False, size=64 * 1024**2),
        ),
        secrets=(Secret(name="token", value=b"t"), Secret(name="key", path="/etc/key")),
        files=(File(target="/in", data=b"data"), File(target="/cfg", source=f"{tmp_path}/cfg")),
        collect=(Collect(path="/out", to=str(tmp_path)),),
        read_only=True,
        labels={"team": "red", "plain": ""},
        stop_signal="SIGINT",
        pull="never",
        platform="linux/amd64",
        concurrency=3,
        ready=Ready(min=20, max=20),
    )
    assert set(Options.__annotations__) == {
        *("name", "env", "env_file", "entrypoint", "user", "workdir", "hostname", "network"),
        *("mounts", "tmpfs", "secrets", "files", "collect", "memory", "cpus", "pids", "tmp"),
        *("timeout", "stdout_limit", "read_only", "labels", "stop_signal", "pull", "platform"),
        *("concurrency", "ready"),
    }


def test_an_unknown_option_is_a_type_error_that_names_the_nearest() -> None:
    with pytest.raises(TypeError, match="no option 'memroy'; did you mean 'memory'"):
        built(memroy="1g")
    with pytest.raises(TypeError, match="no option 'tty'"):
        built(tty=True)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("name", "", "name: '' must be text"),
        ("env", "A=1", "env: 'A=1' is one text"),
        ("env", {"A": 1}, "env: 'A' must be text, not int"),
        ("env", {"": "x"}, "env: '' is no name"),
        ("env", {"A=B": "x"}, "env: 'A=B' is no name"),
        ("env", {"A": "x\0y"}, "env: 'A' holds a NUL"),
        ("env", [3], "env: 3 must be text"),
        ("env_file", "/no/such/file", "env_file: cannot read '/no/such/file'"),
        ("entrypoint", b"sh", "entrypoint: b'sh' is one text"),
        ("user", -1, "user: -1 must be text"),
        ("network", "bridge", "network: there is no 'bridge'"),
        ("network", "privat", "did you mean 'private'"),
        ("mounts", "/a:/b", r"mounts: write a list, such as \['/a:/b'\]"),
        ("mounts", ["/a"], "mounts: '/a' must be /host:/target"),
        ("mounts", ["/a:/b:rx"], "ends in 'rx'"),
        ("mounts", ["data:/b"], "there are no named volumes; write ./data"),
        ("mounts", ["/a:b"], "mounts: 'b' must be an absolute path"),
        ("mounts", ["type=volume,target=/b"], "type 'volume'"),
        ("mounts", ["type=bind,sorce=/a,target=/b"], "'sorce'; did you mean 'source'"),
        ("mounts", ["type=tmpfs,source=/a,target=/b"], "a tmpfs mount cannot have"),
        ("mounts", ["type=bind,source=/a,target=/b,readonly=perhaps"], "write true or false"),
        ("mounts", ["type=bind,source=/a,target=/b,readonly,rw"], "either readonly or rw"),
        ("tmpfs", "/scratch", "tmpfs: write a list"),
        ("tmpfs", ["/scratch:exec"], "'exec' cannot be set"),
        ("tmpfs", {"scratch": None}, "tmpfs: 'scratch' must be an absolute path"),
        ("tmpfs", {"/scratch": "lots"}, "is no size"),
        ("secrets", {"token": 3}, "secrets: 'token' must be a path"),
        ("files", {"/in": 3}, "files: '/in' must be given a path"),
        ("collect", {"/out": b"x"}, "collect: '/out' must be given a directory"),
        ("memory", "lots", "memory: 'lots' is no size"),
        ("memory", 0, "memory: 0 leaves nothing"),
        ("cpus", 0, "cpus: 0 must be a number above 0"),
        ("cpus", True, "cpus: True must be a number"),
        ("pids", 0, "pids: 0 must be a whole number from 1"),
        ("pids", 1.5, r"pids: 1\.5 must be a whole number"),
        ("timeout", "soon", "timeout: 'soon' is no duration"),
        ("timeout", 0, "timeout: 0 leaves no time"),
        ("stdout_limit", -1, "stdout_limit: -1 is no size"),
        ("read_only", "yes", "read_only: 'yes' must be True or False"),
        ("stop_signal", "SIGTREM", "did you mean 'SIGTERM'"),
        ("stop_signal", 4711, "stop_signal: there is no 4711"),
        ("pull", "allways", "did you mean 'always'"),
        ("concurrency", 0, "concurrency: 0 must be a whole number"),
        ("ready", "always", "ready: 'always' must be a whole number"),
    ],
)
def test_what_cannot_be_right_is_named(option: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        built(**{option: value})


def test_arguments_given_as_one_text_are_refused() -> None:
    with pytest.raises(UsageError, match=r"args: 'echo hi' is one text; write a list"):
        build_function("busybox", "echo hi")
    with pytest.raises(UsageError, match="args: 3 must be text"):
        build_function("busybox", ["echo", 3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match="NUL"):
        build_function("busybox", ["echo", "a\0b"])
    with pytest.raises(UsageError, match="image: '' is no name"):
        build_function("")


def test_an_entrypoint_may_be_one_program_or_none() -> None:
    assert built(entrypoint="/bin/my tool").entrypoint == ("/bin/my tool",)
    assert built(entrypoint="").entrypoint == ()


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("/a:/b", Mount(target="/b", source="/a")),
        ("/a:/b:rw", Mount(target="/b", source="/a", read_only=False)),
        ("/a:/b:ro", Mount(target="/b", source="/a")),
        ("type=bind,source=/a,target=/b", Mount(target="/b", source="/a")),
        ("source=/a,target=/b,rw", Mount(target="/b", source="/a", read_only=False)),
        ("source=/a,target=/b,readonly=0", Mount(target="/b", source="/a", read_only=False)),
        ("source=/a,target=/b,readonly", Mount(target="/b", source="/a")),
        ("type=bind,src=/a,dst=/b,ro=true", Mount(target="/b", source="/a")),
        (
            "type=tmpfs,destination=/b,tmpfs-size=1k",
            Mount(target="/b", type="tmpfs", size=1024, read_only=False),
        ),
    ],
)
def test_mounts_are_read_only_unless_they_say_rw(text: str, mount: Mount) -> None:
    assert built(mounts=[text]).mounts == (mount,)


def test_a_mounts_source_may_be_relative_or_in_the_home_directory() -> None:
    sources = [mount.source for mount in built(mounts=["./a:/b", "~/c:/d"]).mounts]
    assert sources == [str(Path.cwd() / "a"), str(Path("~/c").expanduser())]


def test_tmpfs_takes_dockers_texts_too() -> None:
    assert built(tmpfs=["/a", "/b:rw,size=1k"]).mounts == (
        Mount(target="/a", type="tmpfs", read_only=False),
        Mount(target="/b", type="tmpfs", read_only=False, size=1024),
    )


def test_a_variable_without_a_value_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "ours")
    monkeypatch.delenv("ABSENT", raising=False)
    assert built(env=["TOKEN", "ABSENT", "EMPTY=", "A=b=c"]).env == {
        "TOKEN": "ours",
        "EMPTY": "",
        "A": "b=c",
    }


def test_files_of_variables_come_before_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "ours")
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("# a comment\n\nA=1\nB=two words \nTOKEN\n")
    second.write_text("\ufeffA=3\n")
    assert built(env_file=[first, second], env={"B": "4"}).env == {
        "A": "3",
        "B": "4",
        "TOKEN": "ours",
    }
    assert built(env_file=str(first)).env["A"] == "1"


def test_options_of_a_call_change_a_function_and_leave_it_as_it_was() -> None:
    declared = Function(
        name="f",
        image="busybox",
        env={"A": "1", "B": "2"},
        limits=Limits(timeout=1.0, memory=5),
        labels={"x": "y"},
        mounts=(Mount(target="/a", source="/a"),),
    )
    changed = override(
        declared, {"env": {"B": "3"}, "timeout": 9, "labels": {"z": ""}, "tmpfs": ["/t"]}
    )
    assert changed.env == {"A": "1", "B": "3"}
    assert changed.limits == Limits(timeout=9.0, memory=5)
    assert changed.labels == {"x": "y", "z": ""}
    assert [mount.target for mount in changed.mounts] == ["/a", "/t"]
    assert changed.name == "f"
    assert declared.env == {"A": "1", "B": "2"}


def test_values_may_be_given_ready_made() -> None:
    secret, file = Secret(name="s", path="/s"), File(target="/f", data=b"")
    collect = Collect(path="/c", to="/d")
    function = built(secrets=[secret], files=[file], collect=[collect])
    assert (function.secrets, function.files, function.collect) == ((secret,), (file,), (collect,))
    function = built(secrets={"other": secret}, files={"/other": file}, collect={"/other": collect})
    assert function.secrets == (Secret(name="other", path="/s"),)
    assert function.files == (File(target="/other", data=b""),)
    assert function.collect == (Collect(path="/other", to="/d"),)
