from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import UsageError
from wherry.units import format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("512b", 512),
        ("1k", 1024),
        ("512m", 512 * 1024**2),
        ("512MB", 512 * 1024**2),
        ("1.5 GiB", 3 * 1024**3 // 2),
        ("2T", 2 * 1024**4),
    ],
)
def test_sizes_are_read_as_docker_reads_them(text: int | str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "wrong",
    ["", "m", "-1", -1, "1x", "1 2", "0x10", 1.5, True, None, "\u0661", "9" * 400, "9" * 308 + "t"],
)
def test_what_is_no_size_is_named(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"memory: .* is no size"):
        parse_size(wrong, name="memory")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (2, 2.0),
        (0.25, 0.25),
        ("2", 2.0),
        ("2s", 2.0),
        ("500ms", 0.5),
        ("1m30s", 90.0),
        ("1h 1m", 3660.0),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
    ],
)
def test_durations_are_seconds_or_spelled_out(text: float | str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "wrong", ["", "s", "-1", -1, "1x", "1m30", "m1", float("nan"), float("inf"), True, None]
)
def test_what_is_no_duration_is_named(wrong: object) -> None:
    with pytest.raises(UsageError, match=r"timeout: .* is no duration"):
        parse_duration(wrong, name="timeout")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1 MiB"),
        (512 * 1024**2, "512 MiB"),
        (5 * 1024**4, "5 TiB"),
        (5000 * 1024**4, "5000 TiB"),
    ],
)
def test_sizes_are_said_with_one_decimal_at_most(size: int, text: str) -> None:
    assert format_size(size) == text


@given(st.integers(min_value=0, max_value=2**60))
def test_a_size_that_was_said_is_nearly_the_size_it_was(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.06)
