"""Everything that one remote container API is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

PORT = 1717
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteSettings:
    """One server; see :mod:`wherry.remote.options` for how each is given and checked."""

    # where it listens
    host: str = ""
    """Address to listen on; empty is every one of this machine."""
    port: int = PORT
    https: bool = False
    cert: Path = Path("/certs/cert.pem")
    key: Path = Path("/certs/privkey.pem")
    chain: Path | None = None
    """None: ``/certs/chain.pem`` if there is one."""

    # who may ask, and how often
    token: str | None = field(default=None, repr=False)
    """The administrator's."""
    tokens: Path | None = None
    """File of further tokens, with names and policies."""
    policy: Path | None = None
    """File of what may be run."""
    mounts: tuple[str, ...] = ()
    """Paths of the engine's machine that every token's containers may see, beside its policy."""
    low_burst: int = 60
    """Pulls, runs and execs in a minute, for each client; 0 is without a limit."""
    mid_burst: int = 180
    """Removals in a minute."""
    high_burst: int = 300
    """Lists and logs in a minute."""

    # what one request may take
    body_limit: int = 10 * 1024
    """Bytes of a form or a JSON document."""
    timeout: float = 3600.0
    """Seconds that a program in the foreground may take."""
    pull_timeout: float = 1800.0
    """Seconds that an image may take to be pulled."""
    output_limit: int = 16 * MIB
    """Bytes of output in one answer that is no stream."""
    capacity: int = 64
    """Containers in the foreground at one time."""
    waiting: int = 1024
    """Requests that wait for their turn at one time."""
    strict: bool = False
    """Statuses say what went wrong, instead of 500 for everything."""

    # the cluster
    cluster: bool = False
    refresh_rate: float = 30.0
    """Seconds between two looks at this node's load."""
    cache_interval: float = 3.0
    """Seconds for which the state of the others is believed."""
    folder: str = "/tmp/docker-server"  # noqa: S108 - the contract's
    """Where nodes write their state; the prefix of the keys with ``s3``."""
    s3: str | None = None
    """Bucket."""
    s3_endpoint: str | None = None
    """URL of an S3-compatible service; None is Amazon's."""
    advertise: str | None = None
    """URL by which the other nodes reach this one; None: made from its address and port."""
    cluster_token: str | None = field(default=None, repr=False)
    """What only the nodes know; None: the administrator's token is enough to be one, together
    with writing to the folder."""
    cluster_allow: tuple[str, ...] = ()
    """Networks and names that nodes may have; empty: whatever is no special address."""
    load_from: Path | None = None
    """File with this node's load, a number; None: it is measured."""
    node_ca: Path | None = None
    """Certificates that other nodes are checked with; None is the system's trust."""

    # its log
    log_level: str = "info"
    log_folder: Path | None = None
    """Where log files are; None: only stderr."""
    log_expiry: float = 14 * 86400.0
    """Seconds after which a log file is removed."""
    log_max_size: int = 25 * MIB
    """Bytes after which another log file is begun."""
    audit: Path | None = None
    """File that tells who did what to which container."""

    engine: str = "docker:"
    """A Docker engine; see :func:`wherry.engines.docker.address.parse_spec`."""
    grace: float = 30.0
    """Seconds that requests have to end when the server stops."""

    @property
    def scheme(self) -> str:
        """``https`` or ``http``."""
        return "https" if self.https else "http"
