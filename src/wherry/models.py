"""The values everything else passes around: immutable, and nothing but data."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from wherry.errors import FunctionError

_EMPTY: Mapping[str, str] = MappingProxyType({})
CHUNK = 64 * 1024
"""Bytes: the size of one read, and the most that sits between a program and its reader."""

Network = Literal["none", "private", "host"]
PullPolicy = Literal["missing", "always", "never"]
StreamName = Literal["stdout", "stderr"]
ExitReason = Literal["exited", "signal", "timeout", "killed", "oom", "output"]


def _empty() -> Mapping[str, str]:
    return _EMPTY


def new_id() -> str:
    """Return a fresh invocation id: 32 hexadecimal digits."""
    return os.urandom(16).hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may use. None means the engine's default, enforced as well as it can.

    A value that is set is a promise: an engine that cannot keep it refuses to start the call.
    """

    timeout: float | None = None
    """Seconds from the call to the kill."""
    memory: int | None = None
    """Bytes."""
    cpus: float | None = None
    """CPU seconds per second: 1.5 is one and a half cores."""
    pids: int | None = None
    """Processes and threads at one time."""
    stdout: int | None = None
    """Bytes of stdout, after which the call is ended with reason ``output``."""
    tmp: int | None = None
    """Bytes that may be written: everything outside of mounts, together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A directory or file of the host (``bind``), or an empty file system (``tmpfs``)."""

    target: str
    """Absolute path inside the container."""
    type: Literal["bind", "tmpfs"] = "bind"
    source: str | None = None
    """Absolute path on the host; must exist. Only for ``bind``."""
    read_only: bool = True
    """Only for ``bind``: a tmpfs is always writable."""
    size: int | None = None
    """Bytes. Only for ``tmpfs``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A value the container finds in ``/run/secrets/NAME``, never in argv, env or logs.

    Give it as a file of the host (``path``), which a queued invocation can carry, or as a
    value, which never leaves this process but for the container itself.
    """

    name: str
    """A plain file name."""
    path: str | None = None
    """Path of a regular file on the host. Either this or ``value``."""
    value: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file put into the container before its program starts."""

    target: str
    """Absolute path inside the container."""
    source: str | None = None
    """Path of a regular file on the host. Either this or ``data``."""
    data: bytes | None = field(default=None, repr=False)
    """Its content."""
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Collect:
    """A file or directory copied out after the program has ended, however it ended."""

    path: str
    """Absolute path inside the container."""
    to: str
    """Directory on the host; made if it is missing. Nothing is ever written outside of it."""
    max_bytes: int = 256 * 1024 * 1024
    """What is more is an error; what was copied until then stays."""
    max_files: int = 10_000
    """Directories count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """How many containers of a function exist before their calls. Each serves one call.

    ``created``: the sandbox stands, the program is not started: as a cold call in all it can
    see. ``started``: the program itself runs and waits for its stdin, which is right only for
    programs that do nothing before they read; a call with arguments or environment of its own
    is then made cold.
    """

    min: int = 1
    """Kept ready without any call."""
    max: int = 16
    """The most that are ready at one time, however busy the function is."""
    level: Literal["created", "started"] = "created"
    idle: float = 60.0
    """Seconds without a call after which what is above ``min`` is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A named, declared image + command + limits."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    """Replaces the image's CMD when not empty; the arguments of a call are appended."""
    entrypoint: tuple[str, ...] | None = None
    """Replaces the image's ENTRYPOINT; ``()`` clears it."""
    env: Mapping[str, str] = field(default_factory=_empty)
    limits: Limits = Limits()
    around: tuple[str, ...] = ()
    """Words before all others, the entrypoint's included: a program that starts the function's."""
    user: str | None = None
    """``uid``, ``name``, ``uid:gid`` or ``name:group``; None is the image's own."""
    workdir: str | None = None
    """Absolute path inside that the program starts in; None is the image's own, or ``/``."""
    hostname: str | None = None
    """None: the first twelve digits of the invocation's id."""
    network: Network = "none"
    """``none``: a loopback of its own. ``private``: a way out of its own, and none to the
    loopback of this machine. ``host``: this machine's network, loopback included."""
    mounts: tuple[Mount, ...] = ()
    secrets: tuple[Secret, ...] = ()
    files: tuple[File, ...] = ()
    collect: tuple[Collect, ...] = ()
    read_only: bool = False
    """The image's file system cannot be written; /tmp, /run and mounts still can."""
    labels: Mapping[str, str] = field(default_factory=_empty)
    stop_signal: str | None = None
    """What is sent in place of SIGTERM to ask the program to stop; None is the image's own."""
    pull: PullPolicy = "missing"
    """When the registry is asked for the image: ``missing``, ``always`` or ``never``."""
    platform: str | None = None
    """``os/architecture[/variant]`` of the image; None is this machine's."""
    concurrency: int | None = None
    """Calls of this function that run at one time; more wait. None: no limit of its own."""
    ready: Ready | None = None
    """Containers that exist before their calls. None: each call makes its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of a function: data only, so a queue can carry it (see :mod:`wherry.wire`)."""

    function: Function
    args: tuple[str, ...] = ()
    """Appended to the function's command, or to the entrypoint in place of the image's CMD."""
    env: Mapping[str, str] = field(default_factory=_empty)
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Output:
    """Some bytes of one stream, as they came; never empty."""

    stream: StreamName
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended: the last event, exactly once.

    ``code`` is None when the process did not get to say. A program ended by signal N has code
    128+N, as in a shell. Reasons: ``exited`` by itself; ``signal`` ended by a signal nobody of
    ours sent; ``timeout`` our deadline; ``killed`` our :meth:`Container.kill`; ``oom`` the
    memory limit; ``output`` the stdout limit.
    """

    code: int | None
    reason: ExitReason = "exited"

    @property
    def ok(self) -> bool:
        """Whether the program ended by itself with code 0."""
        return self.code == 0 and self.reason == "exited"

    @property
    def signal(self) -> str | None:
        """Name of the signal that ended the program, such as ``SIGSEGV``, else None."""
        if self.code is None or self.reason == "exited" or self.code <= 128:
            return None
        try:
            return signal.Signals(self.code - 128).name
        except ValueError:
            return None

    def describe(self) -> str:
        """Say in words how it ended, to follow the name of what was run."""
        match self.reason:
            case "timeout":
                return "was ended by its timeout"
            case "oom":
                return "was killed for using more than its memory limit"
            case "output":
                return "was ended for writing more than its output limit"
            case "killed" | "signal":
                by = "was killed" if self.reason == "killed" else "was ended by a signal"
                return f"{by} ({self.signal})" if self.signal else by
            case "exited":
                return f"returned non-zero exit status {self.code}" if self.code else "succeeded"


def exit_from_code(code: int) -> Exit:
    """Read an exit code as a shell does: 128+N is the death by signal N."""
    try:
        signal.Signals(code - 128)
    except ValueError:
        return Exit(code)
    return Exit(code, "signal")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished, collected invocation."""

    id: str
    function: str
    image: str
    command: tuple[str, ...]
    exit: Exit
    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    """The last bytes of stderr (see ``stderr_truncated``)."""
    duration: float
    """Seconds from the call to its end."""
    stderr_truncated: bool = False

    @property
    def ok(self) -> bool:
        """Whether the function ended by itself with exit code 0."""
        return self.exit.ok

    @property
    def text(self) -> str:
        """Stdout as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode(errors="replace")

    def check(self) -> Result:
        """Return self when the function succeeded, raise :class:`FunctionError` otherwise."""
        if not self.ok:
            raise FunctionError(self)
        return self
