"""An image out of a root file system in a tar file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from wherry.errors import ImageError
from wherry.images.build import assemble, config_bytes, diff_id, layer_type
from wherry.images.compression import decompress, sniff
from wherry.images.model import Descriptor, Image, ImageConfig
from wherry.images.platforms import host_platform

if TYPE_CHECKING:
    from wherry.images.store import ImageStore

_CHUNK = 1 << 20
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def import_rootfs(
    store: ImageStore,
    source: Path | IO[bytes],
    *,
    reference: str,
    config: ImageConfig | None = None,
) -> Image:
    """Register a root file system as an image with one layer.

    ``source`` is a tar file, plain or compressed (gzip, zstd, xz, bzip2), or a stream of one.
    ``config`` says how it runs; where it is silent the platform is this machine's, PATH is
    Docker's and the time of creation is now. Raises :class:`ImageError` for what cannot be
    read, :class:`ImageCorrupt` for what is no tar.
    """
    with store.pulling():
        layer = _store_layer(store, source)
        path = store.blobs.path(layer.digest)
        whole = config_bytes(
            _complete(config or ImageConfig()), [diff_id(path)], comment="wherry image import"
        )
        return assemble(store, [layer], config=whole, reference=reference)


def _store_layer(store: ImageStore, source: Path | IO[bytes]) -> Descriptor:
    """Keep the bytes as they came, if they are in a form that layers may have."""
    with store.blobs.create() as new:
        for chunk in _chunks(source):
            new.write(chunk)
        with new.path.open("rb") as file:
            if sniff(file) in ("tar", "gzip", "zstd"):
                return new.commit(media_type=layer_type(new.path))
            with store.blobs.create() as plain:
                for chunk in decompress(file):
                    plain.write(chunk)
                return plain.commit(media_type=layer_type(plain.path))


def _chunks(source: Path | IO[bytes]) -> Iterator[bytes]:
    if not isinstance(source, Path):
        yield from iter(lambda: source.read(_CHUNK), b"")
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise ImageError(f"root file system {str(source)!r}: {error.strerror}") from error
    with file:
        yield from iter(lambda: file.read(_CHUNK), b"")


def _complete(config: ImageConfig) -> ImageConfig:
    platform = host_platform()
    return replace(
        config,
        env={"PATH": _PATH, **config.env},
        architecture=config.architecture or platform.architecture,
        variant=config.variant or (None if config.architecture else platform.variant),
        created=config.created or datetime.now(UTC).isoformat(timespec="seconds"),
    )
