"""The values that a policy is made of, and the refusal that every part of it raises."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum

from wherry.errors import WherryError

MIB = 1024 * 1024
_LONGEST = 1000
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", re.ASCII)
"""A tenant's name: no dot, so that ``<tenant>.<name>`` can be read in one way only."""

OWNER = "wherry.proxy.tenant"
"""Label with the tenant's name on every object it owns: for recovery, never for authority (F7)."""
SHOWN_IMAGE = "wherry.proxy.image"
"""Label with the image as the tenant named it; ``Image`` itself is a full id (G9)."""
NESTED = "wherry.docker-api"
"""Label by which a tenant asks for a scoped socket of its own in a child."""
OURS = "wherry."
"""Prefix of labels that only the proxy may set."""


class Denied(WherryError):
    """A request that is not made, with the answer its sender gets.

    ``status`` is an HTTP status, ``message`` goes into ``{"message": …}``, and ``rule`` names the
    rule for the audit log and for ``wherry proxy check``: ``G1``, ``F5``, ``2.3 Privileged``, …
    """

    def __init__(self, status: int, message: str, *, rule: str) -> None:
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]}…"  # it may hold what was sent, and that has no end
        self.status = status
        self.message = message
        self.rule = rule
        super().__init__(message)


class Kind(Enum):
    """What a name in a request is the name of."""

    CONTAINER = "container"
    NETWORK = "network"
    VOLUME = "volume"
    IMAGE = "image"
    EXEC = "exec"
    HOST_PATH = "host path"


@dataclass(frozen=True, slots=True)
class Named:
    """A name in a request that has to be looked up: it is the tenant's own, or it is 404 (G3)."""

    kind: Kind
    text: str
    """As the tenant wrote it: a name without its prefix, an id, or the beginning of one."""
    field: str = ""
    """Where it stands, for the message: ``HostConfig.NetworkMode``."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """A visible image, as ``GET /images/{name}/json`` told it when the request was checked."""

    id: str
    """``sha256:`` and 64 digits."""
    labels: Mapping[str, str] = field(default_factory=dict)
    working_dir: str = ""
    on_build: tuple[str, ...] = ()
    user: str = ""
    healthcheck: Mapping[str, object] = field(default_factory=dict)
    """As the engine has it; times in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Found:
    """Every :class:`Named` of a request, with what it was found to be.

    Containers and networks are full ids, volumes the engine's name (``Names.volume``), host paths
    the real path without any link. A name that is not in here is a bug and raises KeyError.
    """

    containers: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, FoundImage] = field(default_factory=dict)
    host_paths: Mapping[str, str] = field(default_factory=dict)


class Profile(Enum):
    """A set of operations to begin with; the flags of :class:`Policy` open single ones."""

    CHILDREN = "children"
    CI = "ci"
    READONLY = "readonly"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a tenant may have. Counts and sums are the ledger's, ``*_each`` one container's."""

    containers: int = 20
    networks: int = 5
    volumes: int = 20
    images: int = 20
    execs: int = 32
    builds: int = 1
    streams: int = 64
    """Attaches, followed logs, events, waits at one time."""
    memory: int = 2048 * MIB
    """Bytes of all containers together."""
    cpus: float = 2.0
    pids: int = 2048
    memory_each: int = 512 * MIB
    """Bytes of a container that asks for none; one may ask for ``memory``."""
    cpus_each: float = 1.0
    """Of a container that asks for none; one may ask for ``cpus``."""
    pids_each: int = 256
    """Of a container that asks for none; one may ask for ``pids``."""
    shm: int = 64 * MIB
    tmpfs: int = 256 * MIB
    log_size: int = 10 * MIB
    log_files: int = 3
    open_files: int = 65536
    restarts: int = 5
    stop_timeout: int = 60
    """Seconds."""
    storage: int = 0
    """Bytes of a container's own layer; 0 asks the engine for no limit."""
    build_context: int = 256 * MIB
    image_size: int = 4096 * MIB
    lifetime: float = 0.0
    """Seconds that a container may live; 0 is as long as its tenant."""
    depth: int = 1
    """How many tenants may be below this one, in a row."""


@dataclass(frozen=True, slots=True)
class HostPath:
    """A directory of the host below which a tenant may mount."""

    path: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Ports:
    """The host ports that a tenant may publish, always on one address."""

    first: int
    last: int
    address: str = "127.0.0.1"


class CopyIn(Enum):
    """When ``docker cp`` may write into a container (CVE-2026-41568, CVE-2026-42306)."""

    NEVER = "never"
    STOPPED = "stopped"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Policy:
    """What one tenant may do. What is not named here is refused."""

    profile: Profile = Profile.CHILDREN
    limits: Limits = field(default_factory=Limits)
    images: tuple[str, ...] = ()
    """Patterns of images on the engine that the tenant sees besides its own: ``busybox:*``."""
    pull: tuple[str, ...] = ()
    """Patterns of images that the tenant may pull: ``docker.io/library/*``."""
    build: bool = False
    """Classic builds and commits, also outside of the profile ``ci``."""
    copy_in: CopyIn = CopyIn.NEVER
    copy_out: bool = True
    host_paths: tuple[HostPath, ...] = ()
    ports: Ports | None = None
    capabilities: frozenset[str] = frozenset()
    """What ``CapAdd`` may name, without ``CAP_``."""
    drop_capabilities: frozenset[str] = frozenset({"NET_RAW"})
    no_new_privileges: bool = True
    allow_root: bool = True
    gpus: bool = False
    runtimes: frozenset[str] = frozenset()
    sysctls: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    """What ``GroupAdd`` may name."""
    labels: tuple[str, ...] = ()
    """Reserved prefixes of labels that this tenant may use after all."""

    @property
    def builds(self) -> bool:
        """Whether builds and commits are open."""
        return self.build or self.profile is Profile.CI


@dataclass(frozen=True, slots=True)
class TenantView:
    """What the policy has to know of a tenant to build requests and to rewrite answers.

    The collections are the registry's, of full ids; they may be live. ``volumes`` holds the
    engine's names.
    """

    name: str
    policy: Policy = field(default_factory=Policy)
    network: str = ""
    """Full id of the network that stands in for the default bridge; empty: containers get none."""
    cgroup_parent: str = ""
    """The tenant's control group, forced upon every child; empty leaves it to the engine."""
    closed_paths: tuple[str, ...] = ()
    """Directories of the host that hold sockets and state of the proxy: never mounted."""
    containers: Collection[str] = frozenset()
    networks: Collection[str] = frozenset()
    volumes: Collection[str] = frozenset()
    images: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a request takes from the ledger: bytes, billionths of a core, processes."""

    memory: int = 0
    nano_cpus: int = 0
    pids: int = 0


@dataclass(frozen=True, slots=True)
class Injection:
    """A scoped socket for a child: a directory of the host, where to mount it, and variables."""

    source: str
    target: str
    env: tuple[str, ...] = ()


def missing(named: Named) -> Denied:
    """Return the daemon's own 404 for a name that is not the tenant's (G3).

    A foreign name and one that does not exist cannot be told apart.
    """
    text = named.text
    said = {
        Kind.CONTAINER: f"No such container: {text}",
        Kind.NETWORK: f"network {text} not found",
        Kind.VOLUME: f"get {text}: no such volume",
        Kind.IMAGE: f"No such image: {text}",
        Kind.EXEC: f"No such exec instance: {text}",
        Kind.HOST_PATH: f"{named.field}: {text} is not a directory that you may mount",
    }[named.kind]
    return Denied(404, said, rule="G3")
