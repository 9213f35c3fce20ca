"""What labels and environment of a deployment mean."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quantities import format_bytes, format_seconds

from wherry.errors import UsageError
from wherry.functions.model import Deployment, Settings
from wherry.functions.settings import (
    LABELS,
    PREFIX,
    RUNS,
    SETTINGS,
    ready_of,
    settings_of,
)
from wherry.models import Function, Limits, Ready


def settings(labels: dict[str, str] | None = None, env: dict[str, str] | None = None) -> Settings:
    return settings_of(Deployment(service="f", image="i", labels=labels, env_vars=env))


def test_a_deployment_that_says_nothing_has_the_defaults() -> None:
    assert settings() == settings({}) == settings({"anything": "else"}) == Settings()


@pytest.mark.parametrize(
    ("label", "text", "value"),
    [
        ("timeout", "1m30s", 90.0),
        ("concurrency", "8", 8),
        ("queue_wait", "500ms", 0.5),
        ("queue_wait", "0", 0.0),
        ("max_body", "10Mi", 10 << 20),
        ("stream", "True", True),
        ("stream", "no", False),
        ("ready", "created:2", Ready(min=2)),
        ("ready", "started:4", Ready(min=4, level="started")),
        ("ready", "20", Ready(min=20, max=20)),
        ("ready", "created:0", Ready(min=0)),
        ("ready", "none", Ready(min=0, max=0)),
        ("retries", "0", 0),
        ("retry_codes", "75, 111", frozenset({75, 111})),
        ("mode", "http", "http"),
        ("port", "9000", 9000),
        ("health", "/healthz", "/healthz"),
        ("path", "/shop/", "/shop/"),
        ("auth", "true", True),
    ],
)
def test_labels_set_their_field(label: str, text: str, value: object) -> None:
    found = settings({f"wherry.{label}": text})
    field = next(each.field for each in SETTINGS if each.name == label)
    assert found == dataclasses.replace(Settings(), **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "text", "said"),
    [
        ("timeout", "abc", "'abc' is no duration; write seconds, or as in 1m30s"),
        ("timeout", "0", "leaves no time"),
        ("timeout", "-1s", "is no duration"),
        ("concurrency", "0", "is no whole number from 1"),
        ("concurrency", "many", "is no whole number from 1"),
        ("concurrency", "1.5", "is no whole number from 1"),
        ("max_body", "10mb", "is no size"),
        ("stream", "maybe", "is neither true nor false"),
        ("ready", "warm:2", "there is no level 'warm'"),
        ("ready", ":2", "there is no level ''"),
        ("ready", "creatd:2", "did you mean 'created'"),
        ("ready", "created:9999", "at most 1000"),
        ("ready", "created", "says no number of containers"),
        ("retries", "-1", "is no whole number from 0"),
        ("retry_codes", "0", "is no list of exit codes"),
        ("retry_codes", "75,256", "is no list of exit codes"),
        ("mode", "htpp", "there is no 'htpp'; did you mean 'http'?"),
        ("port", "70000", "is no whole number from 1 to 65535"),
        ("health", "healthz", "is no absolute path"),
        ("path", "/system", "is the gateway's own"),
        ("path", "/ui/mine", "is the gateway's own"),
        ("path", "/../up", "is no absolute path"),
        ("path", "/a b", "is no absolute path"),
        ("auth", "", "is neither true nor false"),
    ],
)
def test_a_value_that_cannot_be_right_names_its_label(label: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        settings({f"wherry.{label}": text})
    assert str(raised.value).startswith(f"labels.wherry.{label}: ")
    assert said in str(raised.value)


@pytest.mark.parametrize("label", RUNS, ids=lambda label: label.name)
def test_labels_of_the_container_name_their_label_as_well(label: Any) -> None:
    with pytest.raises(UsageError, match=rf"^labels\.wherry\.{label.name}: "):
        label.parse("", f"labels.wherry.{label.name}")


def test_an_unknown_label_of_ours_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no 'wherry\.timout'; did you mean 'wherry\.timeout'\?"):
        settings({"wherry.timout": "2s"})


def test_what_the_ecosystem_says_is_understood() -> None:
    found = settings(
        {"com.openfaas.scale.min": "2", "com.openfaas.scale.max": "5",
         "com.openfaas.scale.zero": "false", "com.openfaas.scale.factor": "20"},
        {"exec_timeout": "1m", "max_inflight": "4", "read_timeout": "whatever"},
    )  # fmt: skip
    assert found == Settings(
        timeout=60, concurrency=4, scale_min=2, scale_max=5, scale_to_zero=False
    )


def test_zero_is_no_limit_where_the_ecosystem_says_it() -> None:
    assert settings({}, {"exec_timeout": "0s", "max_inflight": "0"}) == Settings()


def test_our_labels_win_over_the_ecosystems_environment() -> None:
    found = settings(
        {"wherry.timeout": "2s", "wherry.concurrency": "1"},
        {"exec_timeout": "1m", "max_inflight": "4"},
    )
    assert (found.timeout, found.concurrency) == (2, 1)


@pytest.mark.parametrize(
    ("labels", "env", "said"),
    [
        ({}, {"exec_timeout": "soon"}, "envVars.exec_timeout: 'soon' is no duration"),
        ({}, {"max_inflight": "few"}, "envVars.max_inflight: 'few' is no whole number"),
        ({"com.openfaas.scale.min": "0"}, {}, "labels.com.openfaas.scale.min: '0' is no whole"),
        ({"com.openfaas.scale.zero": "1x"}, {}, "labels.com.openfaas.scale.zero: '1x' is neither"),
        (
            {"com.openfaas.scale.min": "30"},
            {},
            "30 is more than com.openfaas.scale.max",
        ),
    ],
)
def test_what_the_ecosystem_cannot_mean_is_refused(
    labels: dict[str, str], env: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError) as raised:
        settings(labels, env)
    assert said in str(raised.value)


def test_scaling_sets_how_many_are_ready_and_zero_keeps_none() -> None:
    assert ready_of(Settings()) is None
    assert ready_of(Settings(), replicas=3) == Ready(min=3)
    assert ready_of(Settings(), replicas=0) == Ready(min=0, max=0)
    asked = Settings(ready=Ready(min=2, level="started"))
    assert ready_of(asked) == asked.ready
    assert ready_of(asked, replicas=18) == Ready(min=18, max=18, level="started")


def test_every_label_sets_a_field_that_exists() -> None:
    known = {field.name for field in dataclasses.fields(Settings)}
    assert {label.field for label in SETTINGS} <= known
    rest = known - {label.field for label in SETTINGS}
    assert rest == {"scale_min", "scale_max", "scale_to_zero"}
    runs = {field.name for each in (Function, Limits) for field in dataclasses.fields(each)}
    assert {label.field for label in RUNS} <= runs
    assert len(LABELS) == len(SETTINGS) + len(RUNS)


@pytest.mark.parametrize("label", LABELS.values(), ids=lambda label: label.name)
def test_the_example_of_every_label_is_right(label: Any) -> None:
    label.parse(label.example, f"labels.{PREFIX}{label.name}")


@given(
    timeout=st.integers(1, 10**9).map(lambda thousandths: thousandths / 1000),
    concurrency=st.integers(1, 10**6),
    body=st.integers(1, 2**50),
    stream=st.booleans(),
    retries=st.integers(0, 100),
    codes=st.frozensets(st.integers(1, 255), min_size=1, max_size=5),
    port=st.integers(1, 65535),
)
def test_settings_are_read_as_they_were_written(
    timeout: float,
    concurrency: int,
    body: int,
    stream: bool,
    retries: int,
    codes: frozenset[int],
    port: int,
) -> None:
    labels = {
        "wherry.timeout": format_seconds(timeout),
        "wherry.concurrency": str(concurrency),
        "wherry.max_body": format_bytes(body),
        "wherry.stream": str(stream).lower(),
        "wherry.retries": str(retries),
        "wherry.retry_codes": ",".join(map(str, codes)),
        "wherry.port": str(port),
    }
    found = settings(labels)
    assert found.timeout == pytest.approx(timeout)
    assert (found.concurrency, found.max_body, found.stream) == (concurrency, body, stream)
    assert (found.retries, found.retry_codes, found.port) == (retries, codes, port)


@given(st.sampled_from(sorted(LABELS)), st.text(max_size=20))
def test_any_value_of_a_label_is_understood_or_a_usage_error_that_names_it(
    name: str, text: str
) -> None:
    try:
        LABELS[name].parse(text, f"labels.{name}")
    except UsageError as error:
        assert str(error).startswith(f"labels.{name}: ")  # noqa: PT017
