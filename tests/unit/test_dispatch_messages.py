"""Messages of docker-dispatch's contract: what they mean, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import Busy, EngineError, ImageNotFound, StartError, UsageError
from wherry.models import Exit, Mount
from wherry.triggers.amqp.message import Invoke, Remove, Run, Stop, parse
from wherry.triggers.amqp.outcome import ExitCodes, Outcome, exit_codes, failed
from wherry.triggers.amqp.policy import Forbidden, Policy, policy_of, read_policy
from wherry.triggers.amqp.reading import Malformed


def accepts(body: bytes) -> bool:
    try:
        parse(body)
    except Malformed as error:
        return not str(error)
    return True


def message(**members: Any) -> bytes:
    return json.dumps(members).encode()


def test_the_documented_shapes_are_read() -> None:
    assert parse(
        message(
            Dockercmd="run", Image="busybox", Cmd=["echo", "hi"],
            Options={"Name": "job-1", "Attach": ["STDOUT"], "Remove": True},
        )
    ) == Run(
        image="busybox", command=("echo", "hi"), name="job-1", attach=frozenset({"STDOUT"}),
        remove=True, options=frozenset({"Name", "Attach", "Remove"}),
    )  # fmt: skip
    assert parse(message(Dockercmd="stop", Container="job-1", Options={"Time": 3})) == Stop(
        container="job-1", time=3
    )
    assert parse(
        message(Dockercmd="remove", Container="job-1", Options={"Volumes": True, "Force": True})
    ) == Remove(container="job-1", volumes=True, force=True)


def test_keys_are_matched_without_regard_to_case() -> None:
    for keys in (str.lower, str.upper, str.title):
        body = {
            keys("Dockercmd"): "stop",
            keys("Container"): "a",
            keys("Options"): {keys("Time"): 1},
        }
        assert parse(json.dumps(body).encode()) == Stop(container="a", time=1)


def test_a_field_left_out_is_empty_whatever_the_message_before_had() -> None:
    parse(message(Dockercmd="run", Image="a", Cmd=["x"], Options={"Name": "n", "Remove": True}))
    assert parse(message(Dockercmd="run", Image="b")) == Run(image="b")


def test_the_time_to_stop_is_ten_seconds_unless_said() -> None:
    assert parse(message(Dockercmd="stop", Container="a")) == Stop(container="a", time=10)


@pytest.mark.parametrize(
    ("given", "found"),
    [(["/bin/sh", "-c"], ("/bin/sh", "-c")), ("/bin/sh", ("/bin/sh",)), ("", None), ([], None),
     (None, None)],
)  # fmt: skip
def test_an_entrypoint_is_a_list_or_a_text(given: object, found: object) -> None:
    read = parse(message(Dockercmd="run", Image="a", Options={"Entrypoint": given}))
    assert isinstance(read, Run)
    assert read.entrypoint == found


def test_what_go_writes_for_nothing_is_nothing() -> None:
    body = message(
        Dockercmd="run", Image="a", Cmd=None, Container="",
        Options={"Name": "", "Entrypoint": None, "Attach": None, "Remove": False, "Time": 10,
                 "Volumes": False, "Force": False},
    )  # fmt: skip
    read = parse(body)
    assert isinstance(read, Run)
    assert (read.command, read.name, read.attach) == ((), "", frozenset())


@pytest.mark.parametrize(
    ("given", "found"),
    [("text", b"text"), ({"a": 1}, b'{"a": 1}'), ([1], b"[1]"), (0, b"0"), (None, b"")],
)
def test_the_input_of_a_function_is_text_or_json(given: object, found: bytes) -> None:
    assert parse(message(Function="f", Input=given)) == Invoke(function="f", input=found)


# ruff: noqa: E501 - a table
POISON: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "no JSON"),
    "spaces": (b"   ", "no JSON"),
    "half": (b'{"Dockercmd": "run"', "no JSON"),
    "text": (b"hello", "no JSON"),
    "not UTF-8": (b'{"Dockercmd": "\xff"}', "no UTF-8"),
    "UTF-16": ('{"Dockercmd": "stop"}'.encode("utf-16"), "no UTF-8"),
    "zeros": (b"\0" * 64, "no JSON"),
    "compressed": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "no UTF-8"),
    "a list": (b"[]", "must be a JSON object"),
    "null": (b"null", "must be a JSON object"),
    "a number": (b"5", "must be a JSON object"),
    "two documents": (b"{} {}", "no JSON"),
    "deep": (b"[" * 100_000, "nested too deeply"),
    "a key twice": (b'{"Image": "a", "Image": "b"}', "twice"),
    "a key in two cases": (b'{"Image": "a", "image": "b"}', "twice"),
    "no operation": (b"{}", "unsupported operation"),
    "an unknown operation": (message(Dockercmd="exec"), "unsupported operation"),
    "an operation that is a list": (message(Dockercmd=["run"]), "Dockercmd"),
    "no image": (message(Dockercmd="run"), "Image: it is missing"),
    "a bad image": (message(Dockercmd="run", Image="Not An Image"), "Image"),
    "an image with a path": (message(Dockercmd="run", Image="../../etc"), "Image"),
    "a command that is text": (message(Dockercmd="run", Image="a", Cmd="ls"), "Cmd"),
    "a command of numbers": (message(Dockercmd="run", Image="a", Cmd=[1]), "Cmd"),
    "a NUL": (message(Dockercmd="run", Image="a", Cmd=["a\0b"]), "NUL"),
    "half a surrogate": (message(Dockercmd="run", Image="a", Cmd=["\ud800"]), "surrogate"),
    "a bad name": (message(Dockercmd="run", Image="a", Options={"Name": "a/../b"}), "Options.Name"),
    "no container": (message(Dockercmd="stop"), "Container: it is missing"),
    "a container that is a path": (message(Dockercmd="remove", Container="../images/x"), "Container"),
    "a container with a query": (message(Dockercmd="stop", Container="a?t=1"), "Container"),
    "a negative time": (message(Dockercmd="stop", Container="a", Options={"Time": -1}), "Time"),
    "a time that is true": (message(Dockercmd="stop", Container="a", Options={"Time": True}), "Time"),
    "options that are a list": (message(Dockercmd="run", Image="a", Options=[]), "Options"),
    "an unknown stream": (message(Dockercmd="run", Image="a", Options={"Attach": ["TTY"]}), "Attach"),
    "a truth that is text": (message(Dockercmd="run", Image="a", Options={"Remove": "no"}), "Remove"),
    "privileged": (message(Dockercmd="run", Image="a", Options={"Privileged": True}), "Privileged"),
    "binds": (message(Dockercmd="run", Image="a", Options={"Binds": ["/:/x"]}), "Binds"),
    "both shapes": (message(Dockercmd="run", Image="a", Function="f"), "both"),
    "a function that is a number": (message(Function=5), "Function"),
}  # fmt: skip


@pytest.mark.parametrize("name", POISON)
def test_what_can_never_be_right_is_refused_with_a_reason(name: str) -> None:
    body, said = POISON[name]
    with pytest.raises(Malformed, match=said):
        parse(body)


def test_the_environment_keeps_the_case_of_its_names() -> None:
    given = {"http_proxy": "a", "HTTP_PROXY": "b", "EMPTY": None}
    assert run(Env=given).env == {"http_proxy": "a", "HTTP_PROXY": "b", "EMPTY": ""}
    assert run(Env=["A=b=c", "D"]).env == {"A": "b=c", "D": ""}


@pytest.mark.parametrize(
    "env", ["KEY=s3cret", {"KEY": ["s3cret"]}, ["KEY=s3cret", 1], {"KEY": "s3cret\0"},
            {"KEY": "s3cret\ud800"}, ["=s3cret"]],
)  # fmt: skip
def test_a_mistake_in_the_environment_is_said_without_its_values(env: object) -> None:
    with pytest.raises(Malformed, match=r"Options\.Env: ") as caught:
        run(Env=env)
    assert "s3cret" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_malformed(body: bytes) -> None:
    accepts(body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["Dockercmd", "Image", "Cmd", "Container", "Options", "Function", "Input"]),
        _JSON | st.sampled_from(["run", "stop", "remove", "busybox"]),
    )
)
def test_members_of_any_type_are_a_message_or_malformed(document: dict[str, Any]) -> None:
    accepts(json.dumps(document).encode())


def run(**options: Any) -> Run:
    read = parse(message(Dockercmd="run", Image="busybox", Options=options))
    assert isinstance(read, Run)
    return read


def test_by_default_there_are_no_mounts_and_no_networks() -> None:
    Policy().check(run(Name="a", Remove=True, Env={"A": "b"}))
    with pytest.raises(Forbidden, match=r"Options.Mounts"):
        Policy().check(run(Mounts=[{"Source": "/etc", "Target": "/x"}]))
    with pytest.raises(Forbidden, match=r"Options.Network"):
        Policy().check(run(Network="host"))


def test_mounts_are_allowed_below_their_directories_and_not_through_links(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "out").symlink_to("/etc")
    allowed = {"options": ["Mounts"], "mounts": [f"{tmp_path}/data"]}
    policy = policy_of(allowed, where="x")
    mount = {"Source": f"{tmp_path}/data/in", "Target": "/in"}
    asked = run(Mounts=[mount])
    assert asked.mounts == (Mount(source=mount["Source"], target="/in"),)
    policy.check(asked)
    for wrong in (
        {**mount, "ReadOnly": False},
        {**mount, "Source": f"{tmp_path}/data/../x"},
        {**mount, "Source": f"{tmp_path}/data/out/passwd"},
        {**mount, "Source": f"{tmp_path}/database"},
    ):
        with pytest.raises(Forbidden, match="does not allow"):
            policy.check(run(Mounts=[wrong]))
    policy_of({**allowed, "mounts": [f"{tmp_path}/data:rw"]}, where="x").check(
        run(Mounts=[{**mount, "ReadOnly": False}])
    )


def test_images_functions_and_containers_are_patterns(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('images = ["ghcr.io/me/*"]\nfunctions = ["up*"]\ncontainers = ["job-*"]\n')
    policy = read_policy(path)
    policy.check(Run(image="ghcr.io/me/tool:1"))
    policy.check(Invoke(function="upper"))
    policy.check(Stop(container="job-1"))
    for wrong in (Run(image="busybox"), Invoke(function="down"), Remove(container="db"),
                  Run(image="ghcr.io/me/x", name="db")):  # fmt: skip
        with pytest.raises(Forbidden, match="does not allow"):
            policy.check(wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"image": ["a"]}, "there is no 'image'; did you mean 'images'"), ({"images": "a"}, "list of texts"),
     ({"options": ["Remov"]}, "there is no 'Remov'"),
     ({"networks": ["bridge"]}, "networks: there is no 'bridge'"), ({"mounts": ["data"]}, "absolute")],
)  # fmt: skip
def test_a_policy_that_cannot_be_right_names_the_field(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        policy_of(given, where="policy.toml")


def test_exit_codes_decide_by_a_map_with_a_default() -> None:
    usual = ExitCodes()
    assert [usual.fate(Exit(code)) for code in (0, 75, 1)] == ["ack", "requeue", "reject"]
    own = exit_codes(["1,2=requeue", "3=ack"], other="requeue")
    assert [own.fate(Exit(code)) for code in (0, 1, 2, 3, 4)] == [
        "ack", "requeue", "requeue", "ack", "requeue",
    ]  # fmt: skip
    assert usual.fate(Exit(137, "oom")) == usual.fate(Exit(None, "timeout")) == "reject"


@pytest.mark.parametrize("word", ["1", "1=", "x=ack", "300=ack", "=ack", "1=drop"])
def test_a_map_that_cannot_be_right_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--exit"):
        exit_codes([word], other=None)


def test_only_what_may_go_away_is_tried_again() -> None:
    fates = [
        failed(error, operation="run").fate
        for error in (
            EngineError("x"),
            Busy("x"),
            ImageNotFound("x"),
            StartError("x"),
            UsageError("x"),
        )
    ]
    assert fates == ["requeue", "requeue", "reject", "reject", "reject"]


def test_output_that_is_no_text_is_sent_whole() -> None:
    document = Outcome(fate="ack", operation="run", stdout=b"\xff", stderr="ü".encode()).document(
        message_id=None
    )
    assert (document["stdout_base64"], document["stderr"]) == ("/w==", "ü")
