from __future__ import annotations

import platform as host

import pytest

from wherry.errors import Unsupported, UsageError
from wherry.images.platforms import Platform, choose


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("Linux/AMD64/v1", "linux/amd64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("linux/i686", "linux/386"),
        ("linux/riscv64", "linux/riscv64"),
    ],
)
def test_a_platform_has_one_usual_spelling(text: str, normal: str) -> None:
    assert str(Platform.parse(text)) == normal


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "linux/a b", "linux/amd64/../x"])
def test_a_malformed_platform_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="ARCHITECTURE"):
        Platform.parse(text)


def test_another_operating_system_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="only linux"):
        Platform.parse("windows/amd64")


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("amd64", ["linux/amd64", "linux/386"]),
        ("amd64/v3", None),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        (
            "linux/arm64",
            ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
        ),
        ("linux/s390x", ["linux/s390x"]),
    ],
)
def test_lower_variants_come_after_higher_ones(text: str, order: list[str] | None) -> None:
    if order is None:
        with pytest.raises(Unsupported):
            Platform.parse(text)
        return
    assert [str(platform) for platform in Platform.parse(text).runnable] == order


def test_the_best_offer_is_chosen_whatever_the_order() -> None:
    offers = [
        (Platform("linux", "arm", "v5"), "v5"),
        (Platform("linux", "arm", "v7"), "v7"),
        (Platform("linux", "arm64", "v8"), "64"),
        (Platform("windows", "arm64"), "windows"),
        (Platform("unknown", "unknown"), "attestation"),
    ]
    assert choose(offers, Platform.parse("linux/arm64")) == "64"
    assert choose(offers, Platform.parse("linux/arm/v7")) == "v7"
    assert choose(offers, Platform.parse("linux/arm/v6")) == "v5"
    assert choose(offers, Platform.parse("linux/amd64")) is None


def test_an_offer_without_a_platform_counts_only_when_alone() -> None:
    assert choose([(None, "x")], Platform.parse("amd64")) == "x"
    assert choose([(None, "x"), (None, "y")], Platform.parse("amd64")) is None
    assert choose([(None, "x"), (Platform("linux", "arm64"), "y")], Platform.parse("amd64")) is None


def test_the_host_has_a_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "machine", lambda: "aarch64")
    assert Platform.of_host() == Platform("linux", "arm64")
