"""Platforms, and which image of an index runs on one."""

from __future__ import annotations

import platform as host
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from wherry.errors import Unsupported, UsageError

_T = TypeVar("_T")

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
_ALSO_RUNS = {"amd64": ("386", None), "arm64": ("arm", "v8")}
_WORD = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image was built for, in the words of the OCI image index (``platform``)."""

    os: str
    architecture: str
    variant: str | None = None

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``linux/arm64/v8``, ``linux/amd64`` or ``arm64``; raises UsageError."""
        parts = text.lower().split("/")
        if not 1 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
            raise UsageError(f"platform {text!r} is not OS/ARCHITECTURE[/VARIANT], as linux/amd64")
        if len(parts) == 1:
            parts.insert(0, "linux")
        if parts[0] != "linux":
            raise Unsupported(f"platform {text!r}: only linux images can be run")
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else None).normal

    @classmethod
    def of_host(cls) -> Platform:
        """Return the platform of this machine."""
        return cls("linux", host.machine().lower()).normal

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    @property
    def normal(self) -> Platform:
        """The same platform in its one usual spelling: ``amd64``, ``arm64``, ``arm/v7``."""
        architecture, implied = _ALIASES.get(self.architecture, (self.architecture, None))
        variant = self.variant or implied
        default = _DEFAULT_VARIANT.get(architecture)
        if architecture == "arm":
            variant = variant or default
        elif variant == default:
            variant = None
        return Platform(self.os, architecture, variant)

    @property
    def runnable(self) -> tuple[Platform, ...]:
        """Platforms whose images run here, best first: lower variants, then 32 bit."""
        mine = self.normal
        found = _downwards(mine)
        if mine.architecture in _ALSO_RUNS:
            found += _downwards(Platform(mine.os, *_ALSO_RUNS[mine.architecture]))
        return tuple(found)


def choose(offers: Sequence[tuple[Platform | None, _T]], wanted: Platform) -> _T | None:
    """Return the offer that suits best, or None.

    An offer without a platform is taken when it is the only one: old indexes have such.
    """
    known = [(platform.normal, offer) for platform, offer in offers if platform is not None]
    for candidate in wanted.runnable:
        for platform, offer in known:
            if platform == candidate:
                return offer
    return offers[0][1] if len(offers) == 1 and not known else None


def _downwards(best: Platform) -> list[Platform]:
    """Return a platform and the lower variants of its architecture, highest first."""
    default = _DEFAULT_VARIANT.get(best.architecture)
    match = re.fullmatch(r"v([0-9])(\.[0-9]+)?", best.variant or default or "")
    if not match:
        return [best]
    lowest = {"amd64": 1, "arm64": 8, "arm": 5}.get(best.architecture, int(match[1]))
    numbers = range(int(match[1]), lowest - 1, -1)
    lower = [Platform(best.os, best.architecture, f"v{number}").normal for number in numbers]
    return list(dict.fromkeys([best, *lower]))
