"""Who we are to a registry: Docker's config file, its credential helpers, and our own file."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from wherry.errors import ImageError, UsageError
from wherry.images.helpers import ask_helper
from wherry.images.reference import DOCKER_HUB

if TYPE_CHECKING:
    from wherry.config import Settings

_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})
_BYTES = "surrogateescape"
"""How a password that is no UTF-8 is kept as text."""
_HELPER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IDENTITY_USER = "<token>"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a secret; ``kind`` says what the secret is.

    ``password`` goes to the registry or its token service, ``identity`` is a refresh token that
    only the token service may see, ``bearer`` is given to the registry as it is.
    """

    username: str
    secret: str = field(repr=False)
    kind: Literal["password", "identity", "bearer"] = "password"


class CredentialSource(Protocol):
    """Where credentials come from."""

    async def find(self, registry: str) -> Credentials | None:
        """Return the credentials for a registry (host[:port], ``docker.io``), None without.

        Raises ImageError when there should be some but they cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class FixedCredentials:
    """The same credentials for one registry, and none for any other."""

    registry: str
    credentials: Credentials

    async def find(self, registry: str) -> Credentials | None:
        """Return the credentials when this is their registry."""
        return self.credentials if registry == self.registry else None


@dataclass(frozen=True, slots=True)
class StoredCredentials:
    """Credentials in files of Docker's ``config.json`` form; the first file that has some wins.

    In each file: ``credHelpers`` for the registry, then ``credsStore``, then ``auths``.
    """

    files: tuple[Path, ...]

    async def find(self, registry: str) -> Credentials | None:
        """Look in every file; raises ImageError for a broken file or a helper that fails."""
        for file in self.files:
            found = await _find_in(read_config(file), registry, file=file)
            if found:
                return found
        return None


def default_files(settings: Settings) -> tuple[Path, ...]:
    """Return the files to look in: what `wherry login` wrote, then Docker's."""
    return own_file(settings), settings.docker_config / "config.json"


def own_file(settings: Settings) -> Path:
    """Return the file `wherry login` writes."""
    return settings.config_dir / "auth.json"


def read_config(file: Path) -> dict[str, Any]:
    """Return the content of a config file, empty when there is none; raises ImageError."""
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ImageError(f"the credentials in {file} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise ImageError(f"the credentials in {file} cannot be read: not a JSON object")
    return data


def config_key(registry: str) -> str:
    """Return the name under which Docker files a registry: Hub has one of its own."""
    return _HUB_KEY if registry in _HUB_NAMES else registry


def keys_of(section: Mapping[str, Any], registry: str) -> list[str]:
    """Return the keys of a config section that mean this registry, the exact one first."""
    exact = config_key(registry)
    same = [key for key in section if key != exact and _same(key, registry)]
    return [exact, *same] if exact in section else same


def encode_auth(username: str, password: str) -> str:
    """Return the ``auth`` value of a config file; raises UsageError for an impossible user."""
    if not username or ":" in username:
        raise UsageError(f"username {username!r}: it must not be empty or have a ':' in it")
    return base64.b64encode(f"{username}:{password}".encode(errors=_BYTES)).decode()


async def _find_in(config: Mapping[str, Any], registry: str, *, file: Path) -> Credentials | None:
    helpers = _section(config, "credHelpers", file=file)
    for key in keys_of(helpers, registry):
        return await _from_helper(helpers[key], key, file=file)
    store = config.get("credsStore")
    if store:
        found = await _from_helper(store, config_key(registry), file=file)
        if found:
            return found
    auths = _section(config, "auths", file=file)
    for key in keys_of(auths, registry):
        found = _from_entry(auths[key], where=f"{file}: auths[{key!r}]")
        if found:
            return found
    return None


async def _from_helper(name: object, server: str, *, file: Path) -> Credentials | None:
    if not isinstance(name, str) or not _HELPER_NAME.fullmatch(name):
        raise ImageError(f"{file}: {name!r} is not the name of a credential helper")
    answer = await ask_helper(f"docker-credential-{name}", server)
    if answer is None:
        return None
    username, secret = answer
    if username == _IDENTITY_USER:
        return Credentials("", secret, "identity")
    return Credentials(username, secret)


def _from_entry(entry: object, *, where: str) -> Credentials | None:
    if not isinstance(entry, dict):
        raise ImageError(f"{where} is not a JSON object")
    username, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        username, password = _decode_auth(str(entry["auth"]), where=where)
    if entry.get("identitytoken"):
        return Credentials(username, str(entry["identitytoken"]), "identity")
    if entry.get("registrytoken"):
        return Credentials(username, str(entry["registrytoken"]), "bearer")
    return Credentials(username, password) if username else None


def _decode_auth(text: str, *, where: str) -> tuple[str, str]:
    try:
        decoded = base64.b64decode(text, validate=True).decode(errors=_BYTES)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"{where}: 'auth' is not base64 of USER:PASSWORD") from error
    username, colon, password = decoded.partition(":")
    if not colon:
        raise ImageError(f"{where}: 'auth' is not base64 of USER:PASSWORD")
    return username, password.rstrip("\0")


def _section(config: Mapping[str, Any], name: str, *, file: Path) -> dict[str, Any]:
    section = config.get(name) or {}
    if not isinstance(section, dict):
        raise ImageError(f"{file}: {name!r} is not a JSON object")
    return section


def _same(key: str, registry: str) -> bool:
    host = re.sub(r"^https?://", "", key).split("/", 1)[0]
    return host == registry or (host in _HUB_NAMES and registry in _HUB_NAMES)
