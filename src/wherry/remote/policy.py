"""What a token may ask for: images, mounts, ports, networks, capabilities, and how much of it.

Whoever may mount any directory of the host, or share its network, is as good as root on it.
So a policy has neither unless it says so; see ``docs/security.md``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from wherry.errors import UsageError
from wherry.images.reference import Reference
from wherry.remote.faults import Forbidden

_CAPABILITY = re.compile(r"[A-Z][A-Z0-9_]{1,40}")
_NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.*-]{0,127}")
_DIGEST = re.compile(r"sha[0-9]+:")
_BELOW = "/**"
HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class AllowedMount:
    """A directory or file of the host that containers may have, or a named volume."""

    source: str
    """An absolute path, meant exactly; with ``/**`` behind it whatever is below too; else the
    name of a volume, where ``*`` stands for any part of it."""
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> AllowedMount:
        """Read ``/srv/data``, ``/srv/data:ro``, ``/srv/data/**`` or ``cache-*``."""
        source, colon, mode = text.rpartition(":")
        if not colon:
            source, mode = text, "rw"
        if mode not in {"ro", "rw"} or not source:
            raise UsageError(f"mounts: {text!r} must be PATH, PATH:ro, PATH/** or a volume's name")
        if source.startswith("/"):
            below = source.endswith(_BELOW)
            path = source.removesuffix(_BELOW) if below else source
            if os.path.normpath(path or "/") != (path or "/") or "*" in path:
                raise UsageError(
                    f"mounts: {text!r} must be a path without '.', '..' and '//', with '*' in "
                    "nothing but a last '/**'"
                )
        return cls(source, mode == "ro")

    def covers(self, source: str, *, read_only: bool) -> bool:
        """Whether it allows this source, a path that is normal or a volume's name."""
        if self.read_only and not read_only:
            return False
        if not self.source.startswith("/"):
            return _matches(self.source, source)
        if not self.source.endswith(_BELOW):
            return source == self.source
        return _is_below(source, self.source.removesuffix(_BELOW))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """How much a token's containers may take. None: as much as the engine gives."""

    memory: int | None = None
    """Bytes per container; who asks for nothing gets this."""
    cpus: float | None = None
    """Per container; who asks for nothing gets this."""
    timeout: float | None = None
    """Seconds that a program in the foreground may take, and that it has when it asks for none."""
    containers: int | None = None
    """Of one token at one time, stopped ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What one token may ask for."""

    images: tuple[str, ...] = ("**",)
    """Patterns on the full reference (``docker.io/library/redis:7``): ``*`` stands for anything
    but a slash, ``**`` for anything."""
    mounts: tuple[AllowedMount, ...] = ()
    ports: tuple[range, ...] = (range(1, HIGHEST_PORT + 1),)
    """Ports of the host that may be published."""
    random_ports: bool = True
    """Whether the engine may choose the port of the host."""
    address: str | None = None
    """The host's address that ports are published at; None is the engine's own choice."""
    capabilities: tuple[str, ...] = ()
    """What a request may add to the engine's usual ones."""
    networks: tuple[str, ...] = ("bridge", "none")
    """Names, where ``*`` stands for any part. ``host`` has to be named as it is."""
    limits: Ceiling = field(default_factory=Ceiling)

    def image(self, name: str) -> str:
        """Return the name to use for an image; raises Forbidden, or UsageError for no name.

        An engine takes a name for the beginning of an image's id where it can. With a tag or a
        digest it cannot, so a list of images is not passed by with an id.
        """
        if "**" in self.images:
            return name
        reference = Reference.parse(name)
        if _DIGEST.match(reference.familiar):
            raise Forbidden(f"image: the policy of this token allows names, and no id as {name!r}")
        if not any(_matches(pattern, str(reference)) for pattern in self.images):
            raise Forbidden(f"image: the policy of this token does not allow {str(reference)!r}")
        return reference.familiar

    def mount(self, source: str, *, read_only: bool) -> None:
        """Raise Forbidden unless a mount of this source is allowed."""
        is_path = source.startswith("/")
        real = os.path.realpath(source) if is_path else source
        for allowed in self.mounts:
            if not allowed.covers(os.path.normpath(source) if is_path else source,
                                  read_only=read_only):  # fmt: skip
                continue
            # Below a directory that containers write to, a link may point anywhere.
            if not allowed.source.endswith(_BELOW) or allowed.covers(real, read_only=read_only):
                return
        raise Forbidden(
            f"volumes: {source!r} may not be mounted{'' if read_only else ' for writing'}; who "
            "runs this server allows it with --mounts, or with mounts in its policy file"
        )

    def port(self, number: int | None) -> None:
        """Raise Forbidden unless this port of the host may be published; None: any."""
        if number is None:
            if not self.random_ports:
                raise Forbidden("ports: the policy of this token does not allow a random port")
        elif not any(number in allowed for allowed in self.ports):
            raise Forbidden(f"ports: the policy of this token does not allow {number}")

    def capability(self, name: str) -> None:
        """Raise Forbidden unless a container may have this capability."""
        if name not in self.capabilities:
            raise Forbidden(f"capabilities: the policy of this token does not allow {name!r}")

    def network(self, name: str) -> None:
        """Raise Forbidden unless containers may be in this network."""
        is_host = name == "host" or name.startswith(("container:", "ns:"))
        allowed = name in self.networks if is_host else any(
            _matches(pattern, name) for pattern in self.networks
        )  # fmt: skip
        if not allowed:
            raise Forbidden(f"network: the policy of this token does not allow {name!r}")


NOTHING_SAID = Policy()
"""The policy of a server without a policy file."""


def parse_ports(texts: Iterable[str | int]) -> tuple[range, ...]:
    """Read ``8080`` and ``8000-8999``."""
    found = []
    for text in texts:
        first, dash, last = str(text).partition("-")
        if not first.isdecimal() or not (last or first).isdecimal() or (dash and not last):
            raise UsageError(f"ports: {text!r} must be a port or FIRST-LAST")
        ports = range(int(first), int(last or first) + 1)
        if not ports or ports[0] < 1 or ports[-1] > HIGHEST_PORT:
            raise UsageError(f"ports: {text!r} must be within 1-{HIGHEST_PORT}")
        found.append(ports)
    return tuple(found)


def parse_capability(text: str) -> str:
    """Read ``NET_BIND_SERVICE``, with or without its ``CAP_``."""
    name = text.upper().removeprefix("CAP_")
    if not _CAPABILITY.fullmatch(name) or name == "ALL":
        raise UsageError(f"capabilities: {text!r} must be one capability, as NET_BIND_SERVICE")
    return name


def check_image_pattern(text: str) -> str:
    """Return a pattern that can match; raises UsageError for one that never does."""
    if text != "**" and "/" not in text:
        raise UsageError(
            f"images: {text!r} matches nothing: names are compared in full, so write "
            f"'docker.io/library/{text}'; '**' is any image"
        )
    return text


def check_network_pattern(text: str) -> str:
    """Return a network's name or pattern; raises UsageError."""
    if text != "*" and not _NETWORK.fullmatch(text):
        raise UsageError(f"networks: {text!r} must be a network's name, or '*' in place of parts")
    return text


def check_address(text: str) -> str:
    """Return an address of the host; raises UsageError."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise UsageError(f"address: {text!r} must be an address such as 127.0.0.1") from error


def _matches(pattern: str, name: str) -> bool:
    return _expression(pattern).fullmatch(name) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    words = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _is_below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/") or not directory
