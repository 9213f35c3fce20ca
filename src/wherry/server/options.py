"""What a server is told when it starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from wherry.calls.model import QueueLimits
from wherry.calls.retrying import RetryPolicy
from wherry.service.admission import Capacity
from wherry.triggers.http.auth import AuthOptions
from wherry.triggers.http.forwarding import Trusted

DEFAULT_LISTEN = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Everything about one `wherry serve`."""

    listen: tuple[str, ...] = (DEFAULT_LISTEN,)
    """``HOST:PORT``, ``[V6]:PORT`` or ``unix:PATH``."""
    socket_mode: int = 0o600
    """Permissions of unix sockets."""
    trusted: Trusted = field(default_factory=Trusted)
    """Proxies whose word on where a request comes from is taken."""
    data_dir: Path
    """Images, and the state in ``state``."""
    engine: str = "local"
    files: tuple[Path, ...] = ()
    """Files that declare functions: ours, and OpenFaaS's."""
    ofelia: tuple[Path, ...] = ()
    """Files of schedules as ofelia has them."""
    ofelia_labels: bool = False
    swarm_labels: bool = False
    """Containers declare schedules by their labels."""
    schedule_local: bool = False
    """Schedules may run programs of this machine."""
    no_auth: bool = False
    auth_calls: bool = False
    """Every call of a function needs a token."""
    guard: AuthOptions = field(default_factory=AuthOptions)
    """Rates, and whose web pages are trusted; what is above counts, not what it says of that."""
    user_file: Path | None = None
    password_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_body: int = 8 * 1024**3
    """Bytes of a request's body."""
    max_timeout: float = 300.0
    """Seconds that any call may take."""
    capacity: Capacity = field(default_factory=Capacity)
    idle: float = 300.0
    """Seconds without a call after which a function gives up its ready containers."""
    grace: float = 30.0
    """Seconds that calls have to end when the server stops."""
    workers: int = field(default_factory=lambda: max(2, os.cpu_count() or 1))
    """Calls from the queue that run at one time."""
    queue: QueueLimits = field(default_factory=QueueLimits)
    """What the queue takes in, and how long results and records are kept."""
    retries: RetryPolicy = field(default_factory=RetryPolicy)
    """How often a queued call is tried, where its function does not say."""
    access_log: bool = True

    @property
    def state(self) -> Path:
        """Where functions, secrets, tokens, records and the queue are kept."""
        return self.data_dir / "state"

    @property
    def scheme(self) -> str:
        """``https`` with a certificate."""
        return "https" if self.tls_cert else "http"
