"""What a request of the remote container API asks for, parsed once, and what answers it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from wherry.images.credentials import Credentials
    from wherry.models import Exit, Output

NO_TEXT: Mapping[str, str] = MappingProxyType({})
Protocols = Literal["tcp", "udp", "sctp"]


def _no_text() -> Mapping[str, str]:
    return NO_TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: one token, from one address."""

    name: str
    """Of the token; never the token."""
    is_admin: bool = True
    """Sees and touches every container, and no policy but the server's own holds for it."""
    address: str | None = None
    """IP address; None on a unix socket."""
    policy: str | None = None
    """Name of the token's own policy; None is the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port of the container that is published."""

    host: int
    """0: the engine takes a free one."""
    container: int
    protocol: Protocols = "tcp"
    address: str = ""
    """Of the host, to publish on; empty is every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A path of the host, or a named volume, that the container sees."""

    source: str
    """An absolute path, or the name of a volume."""
    target: str
    """Absolute path inside the container."""
    read_only: bool = False

    @property
    def is_path(self) -> bool:
        """Whether the source is a path of the engine's host."""
        return self.source.startswith("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """``PUT /``: run a container. None is the image's or the engine's own choice."""

    image: str
    """As it was written; a :class:`wherry.images.reference.Reference` can be parsed from it."""
    name: str
    command: tuple[str, ...] | None = None
    remove: bool = False
    detach: bool = False
    ports: tuple[Port, ...] = ()
    volumes: tuple[Volume, ...] = ()
    env: Mapping[str, str] = field(default_factory=_no_text, repr=False)
    network: str | None = None
    """A network's name; ``host``, ``none`` and ``bridge`` are the engine's own, and
    ``container:ID`` is what another container has."""
    user: str | None = None
    memory: int | None = None
    """Bytes."""
    cpus: float | None = None
    entrypoint: tuple[str, ...] | None = None
    """``()`` clears the image's."""
    workdir: str | None = None
    labels: Mapping[str, str] = field(default_factory=_no_text)
    capabilities: tuple[str, ...] = ()
    """Linux capabilities beyond the engine's usual ones, in capitals and without ``CAP_``."""
    credentials: Credentials | None = None
    """For the registry that the image is pulled from."""
    timeout: float | None = None
    """Seconds that its program may take in the foreground; None is the server's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    """``POST /:id``: run one more program in a running container."""

    container: str
    command: tuple[str, ...]
    tty: bool = False
    interactive: bool = False
    """Whether the program is given ``stdin``; it always has one, which is empty otherwise."""
    stdin: AsyncIterable[bytes] | None = field(default=None, repr=False, compare=False)
    env: Mapping[str, str] = field(default_factory=_no_text, repr=False)
    user: str | None = None
    workdir: str | None = None
    timeout: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsRequest:
    """``GET /:id``: what a container has written."""

    container: str
    follow: bool = False
    tail: int | None = None
    """Lines; None is all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """``HEAD /:id*``: have the engine fetch an image."""

    image: str
    credentials: Credentials | None = None
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One container of a list, as ``docker ps -a`` shows it."""

    id: str
    """64 hexadecimal digits."""
    name: str
    labels: Mapping[str, str]
    columns: Mapping[str, str]
    """The titles of ``docker ps -a`` in lower case, in its order, with what stands below them."""


@dataclass(frozen=True, slots=True)
class Running:
    """A program that runs."""

    id: str
    """Of its container: 64 hexadecimal digits, or what an exec was asked for by."""
    events: AsyncIterator[Output | Exit]
    """Output of both streams, then one :class:`wherry.models.Exit`, last; iterated once."""


class Containers(Protocol):
    """What can be done with containers. A guard has this protocol around another one.

    Containers are named by id, the beginning of one, or name, checked before to be nothing else.
    Every method raises :class:`wherry.errors.UsageError` (``NotFound``, ``Conflict``) for what
    cannot be, :class:`~wherry.errors.ImageError` for an image that cannot be had,
    :class:`~wherry.errors.StartError` for a program that the container cannot start, and
    :class:`~wherry.errors.EngineError` when the engine fails; a guard raises
    :class:`wherry.remote.faults.Forbidden`. Messages hold no secret of the request.
    """

    async def list(self, caller: Caller, *, labels: Mapping[str, str] = NO_TEXT) -> Sequence[Row]:
        """Return every container that has these labels, stopped ones too, the newest first."""
        ...

    def logs(
        self, caller: Caller, request: LogsRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[Output]]:
        """Read what a container has written; entering raises what is wrong with it."""
        ...

    def run(self, caller: Caller, request: RunRequest) -> AbstractAsyncContextManager[Running]:
        """Pull what is missing, create a container and start it, attached.

        Leaving the block before its Exit kills it. It is removed after its end with ``remove``.
        """
        ...

    async def detach(self, caller: Caller, request: RunRequest) -> str:
        """Do the same for a container that goes on by itself, and return its id."""
        ...

    def exec(self, caller: Caller, request: ExecRequest) -> AbstractAsyncContextManager[Running]:
        """Start a program in a running container; the engine has no way to kill it."""
        ...

    async def remove(self, caller: Caller, container: str) -> None:
        """Kill and remove a container; raises NotFound for one that does not exist."""
        ...

    async def pull(self, caller: Caller, request: PullRequest) -> None:
        """Fetch an image, whether the engine has one of that name or not."""
        ...

    async def inspect(self, caller: Caller, container: str) -> Mapping[str, Any]:
        """Return what the engine knows of a container, in its own words."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request of the API that has been let in, with its body read and its limits counted."""

    method: str
    """In capitals; ``HEAD /`` is ``HEAD`` with an empty target."""
    target: str
    """What the path names, decoded: a container, an image, or nothing."""
    query: Mapping[str, str]
    """The last value of each name."""
    fields: Mapping[str, Any] = field(repr=False)
    """The body: text, numbers, booleans, lists and mappings; a form's values are text."""
    body: bytes = field(default=b"", repr=False)
    """As it came, for who hands it on."""
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=_no_text, repr=False)
    """Names in lower case; the last value of each."""
    caller: Caller
    stdin: AsyncIterable[bytes] | None = field(default=None, repr=False, compare=False)
    """A body of ``application/octet-stream``, which is not read before it is pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=_no_text)
    body: bytes | AsyncIterator[bytes] = b""
    """An iterator is sent piece by piece as it comes, and closed when the client has left."""


Handler = Callable[[Call], Awaitable[Answer]]
"""Answers a request. What stands in front (a cluster, a queue) is a handler around another.

A client that leaves cancels it. It raises what :class:`Containers` raises, and
:class:`wherry.remote.faults.Fault`: one place turns those into answers.
"""
