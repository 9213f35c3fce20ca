"""What a deployment's document becomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from wherry.errors import UsageError
from wherry.functions.declare import declared, stages_of
from wherry.functions.model import DEFAULT_NAMESPACE, Deployed, Deployment, Resources
from wherry.functions.secrets import SecretStore
from wherry.models import Function, Limits, Ready, Secret


def of(replicas: int | None = None, **fields: Any) -> Deployed:
    deployment = Deployment(**{"service": "upper", "image": "busybox", **fields})
    store = SecretStore(Path("/state/secrets"))
    return declared(deployment, secrets=store, created=1.5, source="api", replicas=replicas)


def test_a_bare_deployment_is_a_function_with_defaults() -> None:
    found = of()
    assert found.function == Function(name="upper.openfaas-fn", image="busybox")
    assert (found.qualified, found.namespace, found.replicas) == (
        "upper.openfaas-fn", DEFAULT_NAMESPACE, 1,
    )  # fmt: skip
    assert (found.created, found.source, found.labels) == (1.5, "api", {})


def test_everything_a_deployment_says_is_in_its_function() -> None:
    found = of(
        namespace="dev",
        command=["tr", "a-z", "A-Z"],
        env_vars={"A": "1"},
        secrets=["key"],
        labels={"wherry.network": "private", "wherry.user": "1000", "wherry.pids": "9",
                "wherry.tmp": "64Mi", "wherry.max_stdout": "1k", "wherry.workdir": "/data",
                "wherry.pull": "never", "wherry.stop_signal": "INT", "wherry.ready": "2"},
        limits=Resources(memory="128Mi", cpu="250m"),
        read_only_root_filesystem=True,
    )  # fmt: skip
    function = found.function
    assert function.name == "upper.dev"
    assert function.command == ("tr", "a-z", "A-Z")
    assert function.entrypoint is None
    assert function.env == {"A": "1"}
    assert function.limits == Limits(memory=128 << 20, cpus=0.25, pids=9, tmp=64 << 20, stdout=1000)
    assert (function.network, function.user, function.workdir) == ("private", "1000", "/data")
    assert (function.pull, function.stop_signal, function.read_only) == ("never", "SIGINT", True)
    assert function.ready == Ready(min=2)
    assert found.replicas == 2


def test_a_timeout_is_a_setting_and_not_in_the_function() -> None:
    found = of(labels={"wherry.timeout": "2s", "wherry.concurrency": "3"})
    assert found.settings.timeout == 2
    assert found.function.limits.timeout is None
    assert found.function.concurrency is None


def test_a_secret_is_a_file_in_both_places_and_never_a_value() -> None:
    found = of(secrets=["key", "key"], namespace="dev")
    path = "/state/secrets/dev/key"
    assert found.function.secrets == (Secret(name="key", path=path),)
    (file,) = found.function.files
    assert (file.target, file.source, file.data) == ("/var/openfaas/secrets/key", path, None)
    assert file.mode == 0o444


@pytest.mark.parametrize(
    ("fields", "entrypoint", "command"),
    [
        ({"env_process": "sh -c 'echo \"a b\"'"}, (), ("sh", "-c", 'echo "a b"')),
        ({"env_vars": {"fprocess": "cat -"}}, (), ("cat", "-")),
        ({"env_process": "tac", "env_vars": {"fprocess": "cat"}}, (), ("tac",)),
        ({"command": ["cat"], "env_vars": {"fprocess": "tac"}}, None, ("cat",)),
        ({"command": []}, None, ()),
        ({"env_process": "  "}, None, ()),
        ({}, None, ()),
    ],
)
def test_the_program_is_the_image_own_unless_something_is_said(
    fields: dict[str, Any], entrypoint: tuple[str, ...] | None, command: tuple[str, ...]
) -> None:
    function = of(**fields).function
    assert (function.entrypoint, function.command) == (entrypoint, command)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"service": ""}, "function: '' is no name"),
        ({"service": "a/b"}, "function: 'a/b' is no name"),
        ({"namespace": "a/b"}, "namespace: 'a/b' is no name"),
        ({"image": ""}, "image: it is missing"),
        ({"image": "Bad Image"}, "image 'Bad Image': 'Bad Image' is not a valid name"),
        ({"env_process": "echo 'a"}, "envProcess: \"echo 'a\" cannot be read: No closing"),
        ({"env_process": "a", "command": ["b"]}, "command: give it or envProcess, not both"),
        ({"command": ["a\0"]}, "command: ['a\\x00'] holds a NUL"),
        ({"command": ["é" * 70_000]}, "command: 140001 bytes are too many"),
        ({"env_vars": {"A": "x" * 131_070}}, "envVars.A: 131073 bytes are too many"),
        ({"env_vars": {"A=B": ""}}, "envVars: 'A=B' is no name of a variable"),
        ({"env_vars": {"": ""}}, "envVars: '' is no name of a variable"),
        ({"secrets": ["../x"]}, "secret: '../x' is no name"),
        ({"limits": Resources(memory="lots")}, "limits.memory: 'lots' is no size"),
        ({"limits": Resources(cpu="lots")}, "limits.cpu: 'lots' is no number of cores"),
        ({"limits": Resources(gpu="1")}, "limits.nvidia.com/gpu: '1' cannot be had"),
        ({"requests": Resources(memory="1x")}, "requests.memory: '1x' is no size"),
        ({"requests": Resources(memory="2Mi"), "limits": Resources(memory="1Mi")},
         "requests.memory: '2Mi' is more than its limit, '1Mi'"),
        ({"requests": Resources(cpu="2"), "limits": Resources(cpu="500m")},
         "requests.cpu: '2' is more than its limit, '500m'"),
        ({"labels": {"wherry.network": "bridge"}}, "labels.wherry.network: there is no 'bridge'"),
        ({"image": "", "pipe": ["a"]}, "pipe: ['a'] needs the names of at least two"),
        ({"pipe": ["a", "b"]}, "image: a pipe has none"),
        ({"image": "", "pipe": ["a", "b"], "env_process": "x"}, "envProcess: a pipe has none"),
        ({"image": "", "pipe": ["a", "b c"]}, "pipe: 'b c' is no name"),
    ],
)  # fmt: skip
def test_what_cannot_be_right_names_its_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        of(**fields)
    assert str(raised.value).startswith(said)


def test_the_value_of_a_variable_is_in_no_message() -> None:
    with pytest.raises(UsageError, match="PASSWORD") as raised:
        of(env_vars={"PASSWORD": "hunter2\0"})
    assert "hunter2" not in str(raised.value)


def test_empty_limits_are_none() -> None:
    assert of(limits=Resources(memory="", cpu="", gpu="0")).function.limits == Limits()


def test_a_pipe_names_functions_of_its_own_namespace_or_another() -> None:
    deployment = Deployment(service="shout", namespace="dev", pipe=["upper", "pad.prod"])
    assert stages_of(deployment) == [("upper", "dev"), ("pad", "prod")]
    found = of(service="shout", image="", pipe=["upper", "pad"])
    assert found.function == Function(name="shout.openfaas-fn", image="")


def test_a_service_may_carry_its_namespace() -> None:
    assert of(service="upper.dev").qualified == "upper.dev"
    assert of(service="upper.dev", namespace="dev").qualified == "upper.dev"
    assert of(service="upper.dev", namespace="prod").qualified == "upper.dev.prod"


def test_scaling_is_in_the_function() -> None:
    assert of(3).function.ready == Ready(min=3)
    assert of(0).function.ready == Ready(min=0, max=0)
    assert (of(0).replicas, of(3).replicas) == (0, 3)
    assert of(labels={"com.openfaas.scale.min": "4"}).replicas == 4


def test_null_and_absent_are_the_same_and_what_was_given_is_kept() -> None:
    text = b"""{"service": "upper", "image": "busybox", "labels": null, "annotations": null,
        "envVars": null, "secrets": null, "constraints": null, "limits": null, "requests": null}"""
    given = msgspec.json.decode(text, type=Deployment)
    assert given == Deployment(service="upper", image="busybox")
    document = {"service": "f", "image": "i", "labels": {"a": "b"},
                "limits": {"memory": "128Mi", "nvidia.com/gpu": "0"},
                "readOnlyRootFilesystem": True, "envProcess": "cat"}  # fmt: skip
    again = msgspec.json.decode(msgspec.json.encode(document), type=Deployment)
    assert msgspec.json.decode(msgspec.json.encode(again)) == document
