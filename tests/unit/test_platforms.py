from __future__ import annotations

import platform as host

import pytest

from wherry.errors import Unsupported, UsageError
from wherry.images.model import OCI_MANIFEST, Descriptor, Platform
from wherry.images.platforms import (
    choose,
    host_platform,
    parse_platform,
    platform_name,
    runnable,
)


def offer(name: str, text: str | None) -> Descriptor:
    platform = None
    if text:
        system, architecture, *variant = text.split("/")
        platform = Platform(
            os=system, architecture=architecture, variant=variant[0] if variant else None
        )
    return Descriptor(media_type=OCI_MANIFEST, digest=name, size=1, platform=platform)


def chosen(offers: list[Descriptor], text: str) -> str | None:
    found = choose(offers, parse_platform(text))
    return found.digest if found else None


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
    assert platform_name(parse_platform(text)) == normal


@pytest.mark.parametrize("text", ["", "a/b/c/d", "linux/", "linux/a b", "linux/amd64/../x"])
def test_a_malformed_platform_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="ARCHITECTURE"):
        parse_platform(text)


def test_another_operating_system_is_unsupported() -> None:
    with pytest.raises(Unsupported, match="only linux"):
        parse_platform("windows/amd64")


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("amd64", ["linux/amd64", "linux/386"]),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]),
        (
            "linux/arm64",
            ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"],
        ),
        ("linux/s390x", ["linux/s390x"]),
    ],
)
def test_lower_variants_come_after_higher_ones(text: str, order: list[str]) -> None:
    assert [platform_name(each) for each in runnable(parse_platform(text))] == order


def test_the_best_offer_is_chosen_whatever_the_order() -> None:
    offers = [
        offer("v5", "linux/arm/v5"),
        offer("v7", "linux/arm/v7"),
        offer("64", "linux/arm64/v8"),
        offer("windows", "windows/arm64"),
        offer("attestation", "unknown/unknown"),
    ]
    assert chosen(offers, "linux/arm64") == "64"
    assert chosen(offers, "linux/arm/v7") == "v7"
    assert chosen(offers, "linux/arm/v6") == "v5"
    assert chosen(offers, "linux/amd64") is None


def test_an_offer_without_a_platform_counts_only_when_alone() -> None:
    assert chosen([offer("x", None)], "amd64") == "x"
    assert chosen([offer("x", None), offer("y", None)], "amd64") is None
    assert chosen([offer("x", None), offer("y", "linux/arm64")], "amd64") is None


def test_the_host_has_a_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "machine", lambda: "aarch64")
    assert host_platform() == Platform(os="linux", architecture="arm64")
