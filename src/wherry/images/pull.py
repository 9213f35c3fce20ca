"""Pulling an image: from a name to a verified, unpacked image of the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from wherry.config import settings
from wherry.errors import ImageCorrupt, ImageError, ImageNotFound
from wherry.images.credentials import CredentialSource, StoredCredentials, default_files
from wherry.images.fetch import fetch_blob
from wherry.images.flights import Flights
from wherry.images.manifests import read_index, read_manifest
from wherry.images.model import INDEX_TYPES, Descriptor, Image, ImageConfig, Platform
from wherry.images.platforms import (
    choose,
    host_platform,
    normal,
    parse_platform,
    platform_name,
    runnable,
)
from wherry.images.progress import LayerProgress, Progress, State, silent
from wherry.images.registry import FetchedManifest, Registry
from wherry.images.threads import detached, entered, in_thread
from wherry.images.transport import Transport, Wire, default_wire, with_insecure

if TYPE_CHECKING:
    from wherry.images.reference import Reference
    from wherry.images.store import ImageStore

PARALLEL_LAYERS = 4
_INDEX_DEPTH = 3
_flights: Flights[Image] = Flights()


async def pull(
    store: ImageStore,
    reference: Reference,
    *,
    platform: str | None = None,
    progress: Progress | None = None,
    credentials: CredentialSource | None = None,
    insecure: Iterable[str] = (),
    wire: Wire | None = None,
) -> Image:
    """Fetch an image, verify every byte of it, and unpack it into the store.

    Several pulls of one image, in this process or in others, do the work once; one that was
    killed is resumed by the next. ``platform`` is ``linux/arm64/v8`` and the like, this
    machine's by default. ``insecure`` names registries with which plain HTTP will do.
    Credentials are those of `wherry login` and `docker login` by default. Raises ImageNotFound,
    AuthenticationRequired, RegistryError, ImageCorrupt, other ImageError for what is no image
    we can run, and UsageError for a malformed platform.
    """
    work = _Pull(
        store,
        reference,
        wanted=parse_platform(platform) if platform else None,
        progress=progress or silent,
        credentials=credentials or StoredCredentials(default_files(settings())),
        wire=with_insecure(wire or default_wire(), insecure),
    )
    return await _flights.join((store, reference, work.wanted), work.run)


class _Pull:
    """One pull; its parts in the order they happen."""

    def __init__(
        self,
        store: ImageStore,
        reference: Reference,
        *,
        wanted: Platform | None,
        progress: Progress,
        credentials: CredentialSource,
        wire: Wire,
    ) -> None:
        self.wanted = wanted
        self._store = store
        self._reference = reference
        self._progress = progress
        self._credentials = credentials
        self._wire = wire

    async def run(self) -> Image:
        """Do it all."""
        present = await in_thread(self._present)
        if present:
            return present
        async with entered(_kept(self._store)):
            manifest, layers = await self._download()
            self._report_all(layers, "extracting")
            image = await detached(partial(self._register, manifest), undo=_leave)
            self._report_all(layers, "done")
            return image

    def _present(self) -> Image | None:
        """Return the image when it is here under its digest, which no registry can change."""
        image = self._store.find(str(self._reference)) if self._reference.digest else None
        return image if image and self._suits(image.config) else None

    def _register(self, manifest: FetchedManifest) -> Image:
        return self._store.register(
            manifest.data, media_type=manifest.media_type, reference=str(self._reference)
        )

    async def _download(self) -> tuple[FetchedManifest, tuple[Descriptor, ...]]:
        async with Transport(self._wire) as transport:
            registry = Registry(transport, self._reference, credentials=self._credentials)
            await registry.connect()
            found = await self._resolve(registry)
            manifest = read_manifest(found.data, what=self._what)
            await self._fetch(registry, manifest.config, report=_ignore)
            await in_thread(self._check_platform, manifest.config)
            layers = tuple({layer.digest: layer for layer in manifest.layers}.values())
            for layer in layers:
                self._report(layer, "waiting", 0)
            await self._fetch_all(registry, layers)
            return found, layers

    async def _resolve(self, registry: Registry) -> FetchedManifest:
        """Return the manifest of the image itself, through an index where there is one."""
        name = self._reference.digest or self._reference.tag or "latest"
        found = await registry.manifest(name)
        for _ in range(_INDEX_DEPTH):
            if found.media_type not in INDEX_TYPES:
                return found
            offer = self._choose(read_index(found.data, what=self._what))
            found = await registry.manifest(offer.digest, expected=offer)
        raise ImageCorrupt(f"{self._what} is an index of indexes of indexes")

    def _choose(self, offers: tuple[Descriptor, ...]) -> Descriptor:
        wanted = self.wanted or host_platform()
        offer = choose(offers, wanted)
        if offer is None:
            names = [platform_name(offer.platform) for offer in offers if offer.platform]
            raise ImageNotFound(
                f"{self._what} is not there for {platform_name(wanted)}; "
                f"it is for {', '.join(names) or 'no platform at all'}"
            )
        return offer

    def _check_platform(self, descriptor: Descriptor) -> None:
        """Refuse what cannot run: an index may lie, and an image without one may be anything."""
        config = ImageConfig.from_json(json.loads(self._store.blobs.read(descriptor.digest)))
        found = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
        if found.os != "linux":
            raise ImageError(
                f"{self._what} is for {platform_name(found)}; only linux images can be run"
            )
        if not self._suits(config):
            raise ImageNotFound(
                f"{self._what} is not there for {platform_name(self.wanted or found)}; "
                f"it is for {platform_name(found)}"
            )

    def _suits(self, config: ImageConfig) -> bool:
        """Whether an image is for the platform that was asked for; any is when none was."""
        found = Platform(os=config.os, architecture=config.architecture, variant=config.variant)
        return self.wanted is None or normal(found) in runnable(self.wanted)

    async def _fetch_all(self, registry: Registry, layers: Iterable[Descriptor]) -> None:
        turn = asyncio.Semaphore(PARALLEL_LAYERS)

        async def fetch(layer: Descriptor) -> None:
            async with turn:
                await self._fetch(
                    registry, layer, report=partial(self._report, layer, "downloading")
                )

        try:
            async with asyncio.TaskGroup() as group:
                for layer in layers:
                    group.create_task(fetch(layer))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors.exceptions[0].__cause__

    async def _fetch(
        self, registry: Registry, descriptor: Descriptor, *, report: Callable[[int], None]
    ) -> None:
        await fetch_blob(
            registry,
            descriptor,
            into=self._store.blobs,
            retries=self._wire.retries,
            report=report,
        )

    def _report(self, layer: Descriptor, state: State, done: int) -> None:
        self._progress(LayerProgress(layer.digest, state, done, layer.size))

    def _report_all(self, layers: Iterable[Descriptor], state: State) -> None:
        for layer in layers:
            self._report(layer, state, layer.size)

    @property
    def _what(self) -> str:
        return f"image {self._reference.familiar!r}"


@contextmanager
def _kept(store: ImageStore) -> Iterator[None]:
    """Keep what is fetched from being pruned; all of it blocks, the opening of the store too."""
    with store.pulling():
        yield


def _ignore(done: int) -> None:
    """Show nothing of a config: it is small."""


def _leave(image: Image) -> None:
    """Let an image that was registered after its pull was cancelled be: it is whole."""
