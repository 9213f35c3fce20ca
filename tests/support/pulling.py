"""Pulling as the tests do it: with nobody's credentials, and without long pauses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.oci_layout import noise

from wherry.images.credentials import StoredCredentials
from wherry.images.pull import pull
from wherry.images.reference import Reference
from wherry.images.retries import Retries
from wherry.images.transport import Wire

if TYPE_CHECKING:
    from wherry.images.model import Image
    from wherry.images.store import ImageStore

MIB = 1 << 20
BIG = {"big": noise(8 * MIB)}
NOBODY = StoredCredentials(())
QUICK = Wire(retries=Retries(first=0.001))


async def fetch(store: ImageStore, name: str, *, platform: str | None = None) -> Image:
    """Pull an image of a real registry."""
    return await pull(
        store, Reference.parse(name), platform=platform, credentials=NOBODY, wire=QUICK
    )


def nothing_usable(store: ImageStore, root: Path) -> bool:
    """Return whether a store lists no image and has no unpacked one in its place."""
    left = [path for path in (root / "rootfs").glob("*") if not path.name.startswith(".")]
    return store.list() == [] and left == []
