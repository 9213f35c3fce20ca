"""Giving a socket to a container that somebody else starts."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.docker.client import DockerClient
from wherry.engines.docker.failures import Refused
from wherry.errors import EngineUnavailable, UsageError
from wherry.proxy.inject import TARGET, variables
from wherry.server.scoping import fleeting_tenant

if TYPE_CHECKING:
    from wherry.engines.docker.address import Address
    from wherry.proxy.tenants.places import Places

_VERBS = ("run", "create")


async def inject(
    command: Sequence[str],
    *,
    address: Address,
    places: Places,
    policy: str,
    ttl: float | None = None,
) -> int:
    """Run a docker command whose container gets a socket; returns its exit code.

    When the command has ended and its container has not (``-d``), the socket is served until
    that ends, too, or a signal comes. Raises :class:`wherry.errors.WherryError`.
    """
    if address.scheme != "unix":
        raise UsageError(f"--engine: {address} is not on this machine, where the socket would be")
    async with fleeting_tenant(address, places, policy=policy, ttl=ttl) as (proxy, tenant):
        directory = Path(tenant.directory)
        told = directory.parent / f"{tenant.name}.cid"
        code = await _run(injected_words(command, options=_options(directory, told)))
        if told.exists() and (id_ := told.read_text().strip()):
            client = DockerClient(address)
            try:
                alive = await _is_alive(client, id_)
            finally:
                await client.aclose()
            if alive:
                proxy.hold(tenant.name, id_)
                await _until_signal(proxy.lifetime.ended(tenant.name))
    return code


def injected_words(command: Sequence[str], *, options: Sequence[str]) -> list[str]:
    """Return a docker command with options behind its ``run``; raises :class:`UsageError`."""
    for place, word in enumerate(command):
        if place and word in _VERBS:
            return [*command[: place + 1], *options, *command[place + 1 :]]
    raise UsageError(f"{' '.join(command)!r} must be a command such as `docker run IMAGE`")


def _options(directory: Path, told: Path) -> list[str]:
    mount = f"type=bind,source={directory},target={TARGET},readonly"
    env = [word for item in variables().items() for word in ("--env", "=".join(item))]
    return ["--cidfile", str(told), "--mount", mount, *env]


async def _run(words: Sequence[str]) -> int:
    """Run a command on our own standard streams; signals go to it, and it ends first."""
    loop = asyncio.get_running_loop()
    try:
        process = await asyncio.create_subprocess_exec(*words)
    except OSError as error:
        raise EngineUnavailable(f"{words[0]!r} cannot be run: {error.strerror}") from error
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, process.send_signal, number)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # a terminal tells both of us
    try:
        code = await process.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            loop.remove_signal_handler(number)
    return 128 - code if code < 0 else code


async def _until_signal(waiting: object) -> None:
    from wherry.server.stopping import Stopping

    assert asyncio.iscoroutine(waiting)
    tasks = [asyncio.create_task(waiting), asyncio.create_task(Stopping().asked.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _is_alive(client: DockerClient, id_: str) -> bool:
    try:
        found = await client.call("GET", f"/containers/{id_}/json")
    except Refused as error:
        if error.status != 404:
            raise
        return False
    return (found.get("State") or {}).get("Status") in ("created", "running", "paused")
