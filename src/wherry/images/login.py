"""Logging in to a registry: verified first, then stored where only the user can read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from wherry.errors import UsageError
from wherry.images.auth import Authenticator
from wherry.images.credentials import (
    Credentials,
    FixedCredentials,
    config_key,
    encode_auth,
    keys_of,
    read_config,
)
from wherry.images.files import write_atomic
from wherry.images.locks import locked
from wherry.images.reference import Reference
from wherry.images.registry import find_registry
from wherry.images.threads import in_thread
from wherry.images.transport import Transport, Wire, default_wire, with_insecure

_T = TypeVar("_T")


async def login(
    registry: str,
    credentials: Credentials,
    *,
    file: Path,
    insecure: Iterable[str] = (),
    wire: Wire | None = None,
) -> None:
    """Verify a user name and password with a registry, and store them in ``file`` (0600).

    The file has the form of Docker's ``config.json``; ``insecure`` names registries with which
    plain HTTP will do. Raises AuthenticationRequired when the
    registry does not accept them, RegistryError when it cannot be asked, UsageError for a
    registry or user name that cannot be.
    """
    host = _registry(registry)
    auth = encode_auth(credentials.username, credentials.secret)
    async with Transport(with_insecure(wire or default_wire(), insecure)) as transport:
        await _verify(transport, host, credentials)

    def store(config: dict[str, Any]) -> None:
        section = config.setdefault("auths", {})
        for key in keys_of(section, host.registry):
            del section[key]
        section[config_key(host.registry)] = {"auth": auth}

    await in_thread(_change, file, store)


async def logout(registry: str, *, file: Path) -> bool:
    """Forget what :func:`login` stored for a registry; returns whether there was anything."""
    host = _registry(registry)

    def forget(config: dict[str, Any]) -> bool:
        section = config.get("auths", {})
        found = keys_of(section, host.registry)
        for key in found:
            del section[key]
        return bool(found)

    return await in_thread(_change, file, forget)


def _registry(text: str) -> Reference:
    """Read ``host[:port]`` or a URL of it, as `docker login` does."""
    host = text.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if "." not in host and ":" not in host and host != "localhost":
        raise UsageError(f"registry {text!r}: give its host, such as ghcr.io or localhost:5000")
    return Reference.parse(f"{host}/any")


async def _verify(transport: Transport, host: Reference, credentials: Credentials) -> None:
    base, challenges = await find_registry(transport, host.api_host)
    source = FixedCredentials(host.registry, credentials)
    auth = Authenticator(transport, source, registry=host.registry)
    auth.learn(challenges, base=base)
    header = await auth.header()
    if header is None:
        return  # a registry that wants no credentials accepts any
    response = await transport.wire.retries.run(
        lambda: transport.open(f"{base}/v2/", headers={}, authorization=header)
    )
    async with response:
        if response.status in {401, 403}:
            raise auth.refusal()
        if response.status != 200:
            raise await response.error("/v2/")


def _change(file: Path, change: Callable[[dict[str, Any]], _T]) -> _T:
    """Change a config file as one step, also next to other processes that do."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(file.with_name(f".{file.name}.lock")):
        config = read_config(file)
        outcome = change(config)
        write_atomic(file, json.dumps(config, indent=2).encode() + b"\n", mode=0o600)
        return outcome
