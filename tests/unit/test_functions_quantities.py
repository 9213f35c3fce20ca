"""Amounts as Kubernetes and Go write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.quantities import format_bytes, format_seconds

from wherry.errors import UsageError
from wherry.functions.quantities import (
    parse_bytes,
    parse_cpus,
    parse_seconds,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("1", 1), ("128Mi", 128 << 20), ("2Gi", 2 << 30), ("1G", 10**9), ("1k", 1000), ("1.5Ki", 1536),
     ("1e3", 1000), ("12E6", 12_000_000), ("1E", 10**18), ("2000m", 2), ("+5", 5), (".5Ki", 512),
     ("1.1", 2), ("1e+3", 1000)],
)  # fmt: skip
def test_sizes_are_read_as_kubernetes_reads_them(text: str, amount: int) -> None:
    assert parse_bytes(text, field="x") == amount


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "Mi", "1 Mi", "128MB", "128mi", "1KI", "1e9999", "nan", "inf", "99E",
             "\u0661", "1e3Mi", "1\n", "0x10", "1_000"]
)  # fmt: skip
def test_what_is_no_size_is_refused_with_its_field_and_value(text: str) -> None:
    with pytest.raises(UsageError, match=r"^limits\.memory: .* is no size"):
        parse_bytes(text, field="limits.memory")


def test_a_thousandth_of_a_byte_says_what_was_meant() -> None:
    with pytest.raises(UsageError, match=r"'128m' is less than one byte.*write 128Mi"):
        parse_bytes("128m", field="limits.memory")


@pytest.mark.parametrize(
    ("text", "cores"), [("250m", 0.25), ("1.5", 1.5), ("2", 2), ("100000u", 0.1), ("1e-1", 0.1)]
)
def test_cores_are_read_as_kubernetes_reads_them(text: str, cores: float) -> None:
    assert parse_cpus(text, field="x") == cores


@pytest.mark.parametrize("text", ["", "0", "0m", "-1", "250mi", "all", "1e7"])
def test_what_is_no_number_of_cores_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^limits\.cpu: .* is no number of cores"):
        parse_cpus(text, field="limits.cpu")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2), ("0.5", 0.5), ("2s", 2), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600), ("1.5h", 5400),
     ("1h15m30.918s", 4530.918), ("250us", 0.00025), ("1µs", 1e-6), ("7ns", 7e-9), ("1d", 86400),
     (".5s", 0.5), ("0", 0), ("0s", 0)],
)  # fmt: skip
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert parse_seconds(text, field="x") == seconds


@pytest.mark.parametrize(
    "text", ["", "abc", "-1s", "1x", "1 s", "s", "1s2", "1m 30s", "1e3", "nan", "inf", "1S",
     "9" * 400]
)  # fmt: skip
def test_what_is_no_duration_is_refused_with_its_field(text: str) -> None:
    with pytest.raises(UsageError, match=r"^labels\.wherry\.timeout: "):
        parse_seconds(text, field="labels.wherry.timeout")


@given(st.integers(1, 2**62))
def test_bytes_are_written_as_they_are_read(amount: int) -> None:
    assert parse_bytes(format_bytes(amount), field="x") == amount


@given(st.integers(0, 10**17))
def test_durations_are_written_as_they_are_read_to_the_nanosecond(nanoseconds: int) -> None:
    seconds = nanoseconds / 10**9
    assert parse_seconds(format_seconds(seconds), field="x") == pytest.approx(seconds, abs=6e-10)


@given(st.text(max_size=30))
def test_any_text_is_an_amount_or_a_usage_error(text: str) -> None:
    for parse in (parse_bytes, parse_cpus, parse_seconds):
        try:
            assert parse(text, field="x") >= 0
        except UsageError as error:
            assert str(error).startswith("x: ")  # noqa: PT017


@given(st.integers(0, 10**6), st.sampled_from(["ns", "us", "ms", "s", "m", "h", "d"]))
def test_every_unit_of_a_duration_is_understood(number: int, unit: str) -> None:
    factor = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
    assert parse_seconds(f"{number}{unit}", field="x") == pytest.approx(number * factor)
