"""The engine the docker command would talk to: its environment variables and its contexts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wherry.config import Settings, settings
from wherry.engines.docker.address import DEFAULT_SOCKET, Address, Tls, parse_host
from wherry.errors import UsageError
from wherry.images.credentials import read_config


def address_from_environment(environment: Mapping[str, str]) -> Address:
    """Return the address that ``docker`` itself would use.

    ``DOCKER_HOST`` first, then ``DOCKER_CONTEXT``, then the context of ``docker context use``,
    then the default socket. Raises UsageError when what they say cannot be right.
    """
    found = settings(environment)
    directory = found.docker_config
    if found.docker_host:
        return parse_host(found.docker_host, tls=_tls_from(found))
    name = environment.get("DOCKER_CONTEXT") or _current_context(directory)
    if name and name != "default":
        return _context(name, directory)
    return Address(scheme="unix", path=DEFAULT_SOCKET)


def _tls_from(found: Settings) -> Tls | None:
    if not found.docker_tls_verify:
        return None
    return Tls.in_directory(found.docker_cert_path or found.docker_config)


def _current_context(directory: Path) -> str:
    return str(read_config(directory / "config.json").get("currentContext") or "")


def _context(name: str, directory: Path) -> Address:
    """Contexts are stored below the SHA-256 of their name."""
    stored = hashlib.sha256(name.encode()).hexdigest()
    file = directory / "contexts" / "meta" / stored / "meta.json"
    endpoint = _endpoint(file, name)
    tls_directory = directory / "contexts" / "tls" / stored / "docker"
    skip = bool(endpoint.get("SkipTLSVerify"))
    tls = Tls.in_directory(tls_directory, verify=not skip)
    return parse_host(str(endpoint.get("Host") or ""), tls=tls if skip or tls.ca else None)


def _endpoint(file: Path, name: str) -> dict[str, Any]:
    try:
        endpoint = json.loads(file.read_bytes())["Endpoints"]["docker"]
    except FileNotFoundError as error:
        raise UsageError(f"the docker context {name!r} does not exist ({file})") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"the docker context {name!r} cannot be read: {file}: {error}") from error
    if not isinstance(endpoint, dict):
        raise UsageError(f"the docker context {name!r} cannot be read: {file}: no endpoint")
    return endpoint
