from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import UsageError
from wherry.models import Collect, File, Function, Invocation, Limits, Mount, Ready, Secret
from wherry.wire import (
    function_from_dict,
    function_to_dict,
    invocation_from_dict,
    invocation_to_dict,
)

FULL = Invocation(
    function=Function(
        name="f",
        image="busybox",
        command=("a", ""),
        entrypoint=(),
        around=("w",),
        env={"A": "ü"},
        limits=Limits(timeout=1.5, memory=2, cpus=0.5, pids=3, stdout=4, tmp=5),
        user="1:1",
        workdir="/w",
        hostname="h",
        network="private",
        mounts=(Mount(target="/a", source="/b", read_only=False), Mount(target="/t", type="tmpfs")),
        secrets=(Secret(name="s", path="/s"),),
        files=(File(target="/f", data=b"\0\xff", mode=0o600), File(target="/g", source="/h")),
        collect=(Collect(path="/c", to="/d", max_bytes=1, max_files=2),),
        read_only=True,
        labels={"l": ""},
        stop_signal="SIGINT",
        pull="always",
        platform="linux/arm64",
        concurrency=7,
        ready=Ready(min=2, level="started"),
    ),
    args=("x",),
    env={"B": "c"},
    id="0" * 32,
)


def test_everything_survives_the_way_through_json() -> None:
    for field in dataclasses.fields(Function):  # so that a new field is not forgotten here
        assert getattr(FULL.function, field.name) != field.default, field.name
    assert invocation_from_dict(json.loads(json.dumps(invocation_to_dict(FULL)))) == FULL
    function = FULL.function
    assert function_from_dict(json.loads(json.dumps(function_to_dict(function)))) == function


def test_only_what_differs_from_the_default_is_written() -> None:
    invocation = Invocation(function=Function(name="f", image="i"), id="1")
    assert invocation_to_dict(invocation) == {"function": {"name": "f", "image": "i"}, "id": "1"}


def test_an_entrypoint_that_was_cleared_is_not_the_images_own() -> None:
    function = Function(name="f", image="i", entrypoint=())
    assert function_from_dict(function_to_dict(function)).entrypoint == ()
    assert function_from_dict({"name": "f", "image": "i"}).entrypoint is None


def test_a_secret_given_by_value_never_leaves_its_process() -> None:
    function = Function(name="f", image="i", secrets=(Secret(name="token", value=b"hush"),))
    with pytest.raises(UsageError, match="secret 'token' is given by value") as caught:
        invocation_to_dict(Invocation(function=function))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"function": None}, "invocation.function: must be an object"),
        ({"function": {"name": "f"}}, "invocation.function: 'image' is missing"),
        ({"args": "text"}, "invocation.args: must be a list"),
        ({"args": [1]}, r"invocation.args\[0\]: must be text, not 1"),
        ({"env": {"A": 1}}, "invocation.env: 'A' must be text"),
        ({"env": []}, "invocation.env: must be an object"),
        ({"arg": []}, "invocation: there is no 'arg'; did you mean 'args'"),
        ({"id": 3}, "invocation.id: must be text"),
    ],
)
def test_a_wrong_invocation_is_refused_and_the_place_is_named(
    change: dict[str, Any], message: str
) -> None:
    data = {"function": {"name": "f", "image": "i"}, **change}
    with pytest.raises(UsageError, match=message):
        invocation_from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"comand": []}, "function: there is no 'comand'; did you mean 'command'"),
        ({"limits": {"timeout": "1s"}}, "function.limits.timeout: must be a number, not '1s'"),
        ({"limits": {"timeout": float("nan")}}, "function.limits.timeout: must be a number"),
        ({"limits": {"memory": 1.5}}, "function.limits.memory: must be a whole number"),
        ({"limits": {"memory": True}}, "function.limits.memory: must be a whole number"),
        ({"limits": {"memry": 1}}, "function.limits: there is no 'memry'"),
        ({"network": "bridge"}, "function.network: there is no 'bridge'"),
        ({"read_only": 1}, "function.read_only: must be true or false"),
        ({"mounts": [{"target": "/a", "type": "volume"}]}, r"function.mounts\[0\].type"),
        ({"files": [{"target": "/a", "data": "*"}]}, r"function.files\[0\].data: must be base64"),
        ({"files": [{"target": "/a", "data": 3}]}, r"function.files\[0\].data: must be base64"),
        ({"name": None}, "function.name: must be text"),
    ],
)
def test_a_wrong_function_is_refused_and_the_place_is_named(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        function_from_dict({"name": "f", "image": "i", **change})


def test_whole_numbers_are_numbers() -> None:
    limits = function_from_dict({"name": "f", "image": "i", "limits": {"timeout": 2}}).limits
    assert limits.timeout == 2.0
    assert isinstance(limits.timeout, float)


texts = st.text(max_size=5)


@given(
    st.builds(
        Function,
        name=texts,
        image=texts,
        command=st.lists(texts, max_size=3).map(tuple),
        entrypoint=st.none() | st.lists(texts, max_size=2).map(tuple),
        env=st.dictionaries(texts, texts, max_size=2),
        limits=st.builds(
            Limits,
            timeout=st.none() | st.floats(0, 1e9),
            memory=st.none() | st.integers(0, 2**62),
        ),
        files=st.lists(
            st.builds(File, target=texts, data=st.none() | st.binary(max_size=9)), max_size=2
        ).map(tuple),
    )
)
def test_any_function_survives_the_way_through_json(function: Function) -> None:
    assert function_from_dict(json.loads(json.dumps(function_to_dict(function)))) == function


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["function", "args", "env", "id", "x"]), json_values))
def test_nonsense_is_refused_with_our_own_error(data: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        invocation_from_dict(data)
