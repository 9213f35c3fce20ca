"""Images as files: what ``docker save``, ``skopeo`` and ``podman`` write, and our own.

Read: Docker's archives, old (a directory for each layer) and new (with an OCI layout inside),
OCI archives and OCI layout directories, each also compressed. Written: an OCI archive with
Docker's ``manifest.json`` beside, which all of them read.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import io
import os
import posixpath
import secrets
import tarfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING

from wherry.errors import ImageError, UsageError
from wherry.images.archive_load import load_docker, load_layout
from wherry.images.archive_members import opened
from wherry.images.archive_names import CONTAINERD_NAME, REF_NAME
from wherry.images.build import encode
from wherry.images.index import read_manifest
from wherry.images.model import OCI_INDEX, Descriptor, Image
from wherry.images.reference import Reference

if TYPE_CHECKING:
    from wherry.images.store import ImageStore


def load(
    store: ImageStore, path: Path, *, reference: str | None = None, platform: str | None = None
) -> list[Image]:
    """Register every image of an archive under the names it has there, and return them.

    ``reference`` names the only image instead; ``platform`` (``linux/arm64``) chooses where
    an archive has several, by default this machine's. Raises :class:`ImageError` for what is
    no image archive, :class:`ImageCorrupt` for one whose content does not match its digests.
    """
    with store.pulling(), opened(path, blobs=store.blobs) as members:
        if members.has("index.json"):
            pending = load_layout(store, members, platform=platform)
        elif members.has("manifest.json"):
            pending = load_docker(store, members)
        else:
            raise ImageError(
                f"{str(path)!r} is no image archive: it has neither index.json nor manifest.json. "
                f"For a root file system there is `wherry image import {path} NAME`"
            )
        if reference is not None:
            if len(pending) != 1:
                raise UsageError(f"{str(path)!r} has {len(pending)} images; one name is too few")
            pending = [replace(pending[0], names=(reference,))]
        return [image.register(store) for image in pending]


def save(store: ImageStore, references: Sequence[str], *, path: Path) -> None:
    """Write images into one OCI archive, replaced as a whole.

    The same images give the same bytes. Raises :class:`ImageNotFound`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with temporary.open("xb") as file:
            write(store, references, file=file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ImageError(f"cannot write {str(path)!r}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write(store: ImageStore, references: Sequence[str], *, file: IO[bytes]) -> None:
    """Write the archive of :func:`save` to a stream, such as a pipe."""
    if not references:
        raise UsageError("no image to save: give at least one")
    with ExitStack() as stack:
        images = _leased(store, references, stack)
        tar = stack.enter_context(tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT))
        archive = _Archive(store, tar)
        saved = [archive.add_image(image) for image in images]
        index = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [entry for image in saved for entry in image.entries],
        }
        archive.add("oci-layout", encode({"imageLayoutVersion": "1.0.0"}))
        archive.add("index.json", encode(index))
        listed = b",".join(encode(image.docker) for image in saved)
        archive.add("manifest.json", b"[" + listed + b"]")


def _leased(store: ImageStore, references: Sequence[str], stack: ExitStack) -> list[Image]:
    """Find the images, each with the names it was asked by only, and keep them."""
    images: dict[str, Image] = {}
    for text in dict.fromkeys(references):
        image = store.get(text)
        stack.enter_context(store.lease(image))
        names = images[image.id].references if image.id in images else ()
        images[image.id] = replace(image, references=(*names, *_names(image, text)))
    return list(images.values())


def _names(image: Image, text: str) -> tuple[str, ...]:
    """Return the tag an image was asked by; asked by id or digest, it goes without a name."""
    try:
        wanted = str(Reference.parse(text))
    except UsageError:
        return ()
    return (wanted,) if wanted in image.references and "@" not in wanted else ()


@dataclass(frozen=True, slots=True)
class _Saved:
    """What the tables of an archive say of one image."""

    entries: list[dict[str, object]]
    docker: dict[str, object]


class _Archive:
    """A tar stream of blobs, each once."""

    def __init__(self, store: ImageStore, tar: tarfile.TarFile) -> None:
        self._store = store
        self._tar = tar
        self._added: set[str] = set()

    def add_image(self, image: Image) -> _Saved:
        """Add the blobs of an image."""
        data, media_type = self._store.manifest_of(image)
        manifest = read_manifest(data)
        described = Descriptor(media_type=media_type, digest=image.digest, size=len(data))
        for descriptor in (described, manifest.config, *manifest.layers):
            self._add_blob(descriptor)
        named = [
            replace(described, annotations={REF_NAME: name, CONTAINERD_NAME: name})
            for name in image.references
        ]
        return _Saved(
            entries=[entry.to_json() for entry in named or [described]],
            docker={
                "Config": _blob_name(manifest.config),
                "RepoTags": [Reference.parse(name).familiar for name in image.references],
                "Layers": [_blob_name(layer) for layer in manifest.layers],
            },
        )

    def add(self, name: str, data: bytes) -> None:
        """Add a small file."""
        self._tar.addfile(_info(name, len(data)), io.BytesIO(data))

    def _add_blob(self, descriptor: Descriptor) -> None:
        if descriptor.digest in self._added:
            return
        self._added.add(descriptor.digest)
        self._add_directories(_blob_name(descriptor))
        with self._store.blobs.path(descriptor.digest).open("rb") as file:
            self._tar.addfile(_info(_blob_name(descriptor), descriptor.size), file)

    def _add_directories(self, name: str) -> None:
        # Without these skopeo (1.9) as an ordinary user tries to give them to root, and fails.
        for above in ("blobs", posixpath.dirname(name)):
            if above not in self._added:
                self._added.add(above)
                info = tarfile.TarInfo(above)
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                self._tar.addfile(info)


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


def _blob_name(descriptor: Descriptor) -> str:
    return "blobs/" + descriptor.digest.replace(":", "/")
