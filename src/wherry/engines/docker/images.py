"""Pulling through an engine, with its progress and our credentials."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused, failing
from wherry.engines.docker.lines import json_lines
from wherry.errors import (
    AuthenticationRequired,
    EngineError,
    ImageError,
    ImageNotFound,
    RegistryError,
)
from wherry.images.credentials import Credentials, CredentialSource, config_key
from wherry.images.reference import Reference

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient

_MISSING = ("not found", "manifest unknown", "does not exist", "no matching manifest")
_FORBIDDEN = ("unauthorized", "authentication required", "no basic auth", "denied")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """One step of a pull, in the engine's words."""

    status: str
    """``Downloading``, ``Extracting``, ``Pull complete`` …"""
    layer: str | None = None
    """Short id of the layer it is about."""
    current: int | None = None
    """Bytes."""
    total: int | None = None
    """Bytes."""


async def pull(
    client: DockerClient,
    image: str,
    *,
    credentials: CredentialSource,
    platform: str | None = None,
) -> AsyncIterator[PullProgress]:
    """Pull one image and yield how far it is: one tag (``latest`` without any), never all.

    Raises :class:`ImageNotFound`, :class:`AuthenticationRequired` or :class:`RegistryError` for
    what the registry says, EngineError when the engine fails.
    """
    reference = Reference.parse(image)
    name = reference.registry + "/" + reference.repository
    found = await credentials.find(reference.registry)
    request = await client.request(
        "POST",
        "/images/create",
        query={
            "fromImage": name,
            "tag": reference.digest or reference.tag,
            "platform": platform,
        },
        headers={"X-Registry-Auth": registry_auth(found, reference.registry)},
    )
    try:
        response = await client.send(request)
    except Refused as error:
        raise _translate(error.reason, image) from error
    try:
        with failing(f"pulling {image!r}", address=client.address):
            async for step in json_lines(response.stream()):
                yield _progress(step, image)
    finally:
        client.release(response.connection)


def registry_auth(credentials: Credentials | None, registry: str) -> str:
    """Return the ``X-Registry-Auth`` header: base64url of a JSON object, empty without login."""
    fields: dict[str, str] = {}
    match credentials:
        case Credentials(username, secret, "password"):
            fields = {"username": username, "password": secret}
        case Credentials(_, secret, "identity"):
            fields = {"identitytoken": secret}
        case Credentials(_, secret, "bearer"):
            fields = {"registrytoken": secret}
    if fields:
        fields["serveraddress"] = config_key(registry)
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def _progress(step: dict[str, Any], image: str) -> PullProgress:
    if error := step.get("error"):
        raise _translate(str(error), image)
    detail = step.get("progressDetail") or {}
    return PullProgress(
        status=str(step.get("status", "")),
        layer=step.get("id"),
        current=detail.get("current"),
        total=detail.get("total"),
    )


def _translate(reason: str, image: str) -> ImageError | EngineError:
    words = reason.lower()
    if any(word in words for word in _MISSING):
        return ImageNotFound(f"image {image!r} cannot be pulled: {reason}")
    if any(word in words for word in _FORBIDDEN):
        return AuthenticationRequired(
            f"image {image!r} cannot be pulled: {reason}; run `wherry login`"
        )
    return RegistryError(f"image {image!r} cannot be pulled: {reason}")
