"""What is scheduled, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

if TYPE_CHECKING:
    from wherry.triggers.cron.syntax import When

Kind = Literal["function", "run", "exec", "local", "service-run"]
Overlap = Literal["skip", "allow", "queue", "replace"]
Status = Literal["waiting", "running", "succeeded", "failed", "skipped", "timed out", "missed"]
Cause = Literal["time", "catch-up", "asked", "start"]

API = "api"
"""The source of a schedule that was given to the gateway, by hand."""
OUTPUT = 10 * 1024 * 1024
"""Bytes at the end of each stream that are kept of a run."""


class Definition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A schedule as it is declared; the same fields in every source, and in what is stored."""

    name: str
    schedule: str
    """Five or six fields, ``@daily``, ``@every 1h30m``, ``@reboot``."""
    timezone: str | None = None
    """IANA name; UTC by default."""
    kind: Kind = "function"
    function: str | None = None
    """Kind ``function``: ``name`` or ``name.namespace`` of one that is deployed."""
    image: str | None = None
    """Kinds ``run`` and ``service-run``."""
    container: str | None = None
    """Kind ``exec``: a running one. Kind ``run``: a stopped one that is started."""
    service: str | None = None
    """Kind ``service-run``: a service of the Swarm whose tasks are started anew."""
    replicas: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Of that service; one by default."""
    networks: list[str] | None = None
    """Kind ``service-run``: networks of the Swarm."""
    registry_auth: bool | None = None
    """Kind ``service-run``: whether the Swarm is given our login for the image."""
    command: list[str] | None = None
    """Words of the program, or the arguments of the image or function."""
    env: dict[str, str] | None = None
    input: str | None = None
    """Text that the program finds on stdin."""
    user: str | None = None
    workdir: str | None = None
    network: Literal["none", "private", "host"] | None = None
    hostname: str | None = None
    pull: Literal["missing", "always", "never"] | None = None
    volumes: list[str] | None = None
    """Kind ``run``: mounts, as ``/host:/target`` or ``/host:/target:rw``."""
    overlap: Overlap = "skip"
    """What happens to a run that is due while another one of this schedule goes on."""
    timeout: str | float | None = None
    """After which a try is killed."""
    retries: Annotated[int, Meta(ge=0, le=100)] = 0
    """Tries after the first."""
    backoff: str | float | None = None
    """Before the first retry, then twice that, and so on; one second by default."""
    catch_up: str | float | None = None
    """How late a run may be that was due while no scheduler ran."""
    jitter: str | float | None = None
    """The most that a run is put off by chance."""
    ping: str | None = None
    """URL that is fetched after each success, for a dead man's switch."""
    save_folder: str | None = None
    """Directory of this machine that gets the output of each run."""
    save_only_on_error: bool = False
    webhook: str | None = None
    """URL that is told of each run, in JSON."""
    webhook_only_on_error: bool = False
    slack_webhook: str | None = None
    slack_only_on_error: bool = False
    smtp_host: str | None = None
    smtp_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """25 by default; 465 speaks TLS from the start."""
    smtp_user: str | None = None
    smtp_password: str | None = None
    smtp_tls_skip_verify: bool = False
    email_from: str | None = None
    email_to: list[str] | None = None
    mail_only_on_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A definition that was found right. Durations are in seconds."""

    definition: Definition
    when: When
    timeout: float | None = None
    backoff: float = 1.0
    catch_up: float = 0.0
    jitter: float = 0.0

    @property
    def name(self) -> str:
        """Unique among all schedules."""
        return self.definition.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A schedule as it stands in the store. Times are Unix seconds."""

    definition: Definition
    source: str
    """``api``, or what declares it."""
    created: float
    """Where ``@every`` counts from."""
    revision: int
    """Grows with every change of the definition."""
    paused: bool
    last_tick: float
    """Nothing up to this moment will be run any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a schedule, with all its tries. Times are Unix seconds."""

    number: int
    """Grows with each run of any schedule."""
    id: str
    name: str
    cause: Cause
    scheduled: float
    status: Status
    started: float | None = None
    ended: float | None = None
    exit_code: int | None = None
    error: str | None = None
    attempts: int = 0
    count: int = 1
    """How many ticks were missed, of which ``scheduled`` is the last."""
    truncated: bool = False
    """Whether output is longer than what is kept of it."""
    stdout: bytes = field(default=b"", repr=False)
    stderr: bytes = field(default=b"", repr=False)

    @property
    def duration(self) -> float | None:
        """Seconds from the start of the first try to the end of the last."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)
