"""Names in a request become full ids, paths without links, and visible images (G3, G9)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Protocol

from wherry.proxy.handlers import images, volumes
from wherry.proxy.policy.model import Found, FoundImage, Kind, Named

if TYPE_CHECKING:
    from wherry.proxy.handlers.scope import Scope
    from wherry.proxy.policy.volumes import VolumeCreate


class Refers(Protocol):
    """A request that names things."""

    @property
    def references(self) -> tuple[Named, ...]:
        """All that has to be looked up."""
        ...


async def resolve(scope: Scope, request: Refers) -> Found:
    """Look everything up that a request names; raises :class:`Denied` (404) for what is not theirs.

    Named volumes that are missing are made first, as the engine would.
    """
    wanted: tuple[VolumeCreate, ...] = getattr(request, "volumes", ())
    return await resolve_named(scope, request.references, volumes_wanted=wanted)


async def resolve_named(
    scope: Scope, references: tuple[Named, ...], *, volumes_wanted: tuple[VolumeCreate, ...] = ()
) -> Found:
    """Look names up; as :func:`resolve`."""
    containers: dict[str, str] = {}
    networks: dict[str, str] = {}
    found_volumes: dict[str, str] = {}
    found_images: dict[str, FoundImage] = {}
    host_paths: dict[str, str] = {}
    for named in references:
        match named.kind:
            case Kind.CONTAINER:
                containers[named.text] = scope.own(named).id
            case Kind.NETWORK:
                networks[named.text] = scope.own(named).id
            case Kind.IMAGE:
                found_images[named.text] = await images.find(scope, named)
            case Kind.HOST_PATH:
                host_paths[named.text] = await asyncio.to_thread(os.path.realpath, named.text)
            case _:
                continue
    for volume in volumes_wanted:  # last: nothing is made for a request that is refused
        found_volumes[volume.name] = (await volumes.ensure(scope, volume)).id
    return Found(
        containers=containers,
        networks=networks,
        volumes=found_volumes,
        images=found_images,
        host_paths=host_paths,
    )
