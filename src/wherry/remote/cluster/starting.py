"""A node of a cluster, put together from what a server was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.docker.connection import Request
from wherry.engines.docker.failures import failing
from wherry.errors import EngineError, UsageError
from wherry.remote import answers
from wherry.remote.cluster.advertise import own_origin
from wherry.remote.cluster.folder import Folder
from wherry.remote.cluster.front import Clustered
from wherry.remote.cluster.load import Load
from wherry.remote.cluster.members import Members, Membership
from wherry.remote.cluster.origins import Origins, origin, parsed
from wherry.remote.cluster.peers import Peers
from wherry.remote.cluster.s3 import Bucket
from wherry.remote.cluster.seal import Seal
from wherry.remote.cluster.state import number_in
from wherry.remote.cluster.trust import trust

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient
    from wherry.remote.cluster.shared import Shared
    from wherry.remote.model import Handler
    from wherry.remote.settings import RemoteSettings

_PING = Request(method="GET", target="/_ping")
_ESCAPED = 6
"""Bytes that one byte of output is in JSON, at most: ``\\u0000``."""
_AROUND = 64 * 1024
"""Bytes of an answer that are no output."""
_SHORT = 0.5
"""Seconds over which the first load is measured."""


@asynccontextmanager
async def clustered(
    here: Handler, settings: RemoteSettings, *, engine: DockerClient, port: int
) -> AsyncIterator[Clustered]:
    """Join the cluster, and leave it with the block.

    ``engine`` is this node's, and ``port`` the one that it listens on. Raises
    :class:`wherry.errors.UsageError` for what a node cannot start with, such as a folder that
    strangers can write to, and :class:`wherry.errors.EngineUnavailable` for a place that cannot
    be used.
    """
    seal = Seal(_secret(settings))
    own = origin_of(settings, port=port)
    origins = Origins(own, allow=settings.cluster_allow)
    tls = trust(settings.node_ca) if settings.https else None
    async with AsyncExitStack() as stack:
        shared = await _shared(settings)
        stack.push_async_callback(shared.aclose)
        await shared.read(within=0.0)  # what cannot be used is said before anything is served
        how = Membership(
            own=own,
            seal=seal,
            origins=origins,
            refresh=settings.refresh_rate,
            cache=settings.cache_interval,
            measure=await _measure(settings, engine),
            sealed_only=settings.cluster_token is not None,
        )
        members = Members(shared, how)
        peers = Peers(seal=seal, tls=tls, output=_ESCAPED * settings.output_limit + _AROUND)
        stack.push_async_callback(peers.aclose)
        await members.join()
        stack.push_async_callback(members.leave)
        yield Clustered(
            here,
            members=members,
            peers=peers,
            seal=seal,
            refused=lambda error: answers.failure(error, strict=settings.strict),
            strict=settings.strict,
        )


def origin_of(settings: RemoteSettings, *, port: int) -> str:
    """Return where other nodes reach a server that listens on ``port``.

    Raises :class:`wherry.errors.UsageError` for an ``--advertise`` that is no origin of ours.
    """
    if settings.advertise is None:
        return own_origin(scheme=settings.scheme, host=settings.host, port=port)
    parts = parsed(settings.advertise, field="--advertise")
    if parts.scheme != settings.scheme:
        raise UsageError(f"--advertise: {settings.advertise!r} must be {settings.scheme}://…")
    return origin(parts)


def _secret(settings: RemoteSettings) -> str:
    secret = settings.cluster_token if settings.cluster_token is not None else settings.token
    if not secret:
        raise UsageError(
            "--cluster_token: with --tokens alone the servers of a cluster need a token of their"
            " own, the same on each"
        )
    return secret


async def _shared(settings: RemoteSettings) -> Shared:
    if settings.s3 is None:
        return Folder(Path(settings.folder))
    return await Bucket.open(settings.s3, folder=settings.folder, endpoint=settings.s3_endpoint)


async def _measure(
    settings: RemoteSettings, engine: DockerClient
) -> Callable[[], Awaitable[float]]:
    """Return what tells this node's load while its engine answers."""
    path = settings.load_from
    load = None
    if path is None:
        load = Load()
        await asyncio.sleep(min(_SHORT, settings.refresh_rate))

    async def measure() -> float:
        with failing("GET /_ping", address=engine.address):
            async with engine.open(_PING) as response:
                await response.read()
        return load.measure() if load is not None else _told(path)

    return measure


def _told(path: Path | None) -> float:
    """Return the load that something else has written down."""
    assert path is not None
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineError(f"--load_from: {path} cannot be read") from error
    found = number_in(text)
    if found is None or found < 0:
        raise EngineError(f"--load_from: {path} must hold a number from 0")
    return found
