"""Which image of an index runs on a machine."""

from __future__ import annotations

import platform as host
import re
from collections.abc import Sequence
from dataclasses import replace

from wherry.errors import Unsupported, UsageError
from wherry.images.model import Descriptor, Platform

_ALIASES = {
    "x86_64": ("amd64", None),
    "x86-64": ("amd64", None),
    "aarch64": ("arm64", None),
    "i386": ("386", None),
    "i486": ("386", None),
    "i586": ("386", None),
    "i686": ("386", None),
    "armhf": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "armel": ("arm", "v6"),
    "armv6l": ("arm", "v6"),
}
_DEFAULT_VARIANT = {"amd64": "v1", "arm64": "v8", "arm": "v7"}
_LOWEST_VARIANT = {"amd64": 1, "arm64": 8, "arm": 5}
_ALSO_RUNS = {
    "amd64": Platform(os="linux", architecture="386"),
    "arm64": Platform(os="linux", architecture="arm", variant="v8"),
}
_ODD = re.compile(r"[^A-Za-z0-9_./-]")
_WORD = re.compile(r"[a-z0-9_.-]+")
_VARIANT = re.compile(r"v([0-9])(\.[0-9]+)?")


def parse_platform(text: str) -> Platform:
    """Read ``linux/arm64/v8``, ``linux/amd64`` or ``arm64``; raises UsageError."""
    parts = text.lower().split("/")
    if not 1 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
        raise UsageError(f"platform {text!r} is not OS/ARCHITECTURE[/VARIANT], as linux/amd64")
    if len(parts) == 1:
        parts.insert(0, "linux")
    if parts[0] != "linux":
        raise Unsupported(f"platform {text!r}: only linux images can be run")
    variant = parts[2] if len(parts) == 3 else None
    return normal(Platform(os=parts[0], architecture=parts[1], variant=variant))


def host_platform() -> Platform:
    """Return the platform of this machine."""
    return normal(Platform(os="linux", architecture=host.machine().lower()))


def platform_name(platform: Platform) -> str:
    """Return a platform as users write it: ``linux/arm/v7``; safe for a terminal."""
    parts = (platform.os, platform.architecture, platform.variant)
    return _ODD.sub("?", "/".join(part for part in parts if part))[:80]


def normal(platform: Platform) -> Platform:
    """Return the same platform in its one usual spelling: ``amd64``, ``arm64``, ``arm/v7``."""
    found = _ALIASES.get(platform.architecture, (platform.architecture, None))
    architecture, implied = found
    variant = platform.variant or implied
    default = _DEFAULT_VARIANT.get(architecture)
    if architecture == "arm":
        variant = variant or default
    elif variant == default:
        variant = None
    return replace(platform, architecture=architecture, variant=variant)


def runnable(platform: Platform) -> tuple[Platform, ...]:
    """Return the platforms whose images run on this one, best first: lower variants, 32 bit."""
    mine = normal(platform)
    found = _downwards(mine)
    if mine.architecture in _ALSO_RUNS:
        found += _downwards(_ALSO_RUNS[mine.architecture])
    return tuple(found)


def choose(offers: Sequence[Descriptor], wanted: Platform) -> Descriptor | None:
    """Return the manifest of an index that suits a platform best, or None.

    One without a platform is taken when it is alone: old indexes have such.
    """
    known = [(normal(offer.platform), offer) for offer in offers if offer.platform]
    for candidate in runnable(wanted):
        for platform, offer in known:
            if platform == candidate:
                return offer
    return offers[0] if len(offers) == 1 and not known else None


def _downwards(best: Platform) -> list[Platform]:
    """Return a platform and the lower variants of its architecture, highest first."""
    match = _VARIANT.fullmatch(best.variant or _DEFAULT_VARIANT.get(best.architecture, ""))
    if not match:
        return [best]
    highest = int(match[1])
    numbers = range(highest, _LOWEST_VARIANT.get(best.architecture, highest) - 1, -1)
    lower = [normal(replace(best, variant=f"v{number}")) for number in numbers]
    return list(dict.fromkeys([best, *lower]))
