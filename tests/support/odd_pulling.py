"""Pulling from a registry made by hand, without waiting for real."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.support.oci_layout import build_image, noise

from wherry.images.credentials import Credentials
from wherry.images.pull import pull
from wherry.images.reference import Reference

if TYPE_CHECKING:
    from tests.support.fake_registry import FakeRegistry

    from wherry.images.credentials import CredentialSource
    from wherry.images.model import Image
    from wherry.images.store import ImageStore
    from wherry.images.transport import Wire

ME = Credentials("me", "s3cret")
IMAGE = build_image({"hello": b"hi"}, busybox=False)
BIG = build_image({"big": noise(2 << 20)}, busybox=False)


class Waits:
    """Stands in for the clock: remembers the pauses, and does not make them."""

    def __init__(self) -> None:
        self.made: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.made.append(seconds)
        await asyncio.sleep(0)


async def fetch(
    store: ImageStore,
    registry: FakeRegistry,
    wire: Wire,
    *,
    tag: str = "latest",
    credentials: CredentialSource | None = None,
) -> Image:
    """Pull the one repository of a fake registry."""
    reference = Reference.parse(f"{registry.host}/any{'@' if ':' in tag else ':'}{tag}")
    return await pull(store, reference, wire=wire, credentials=credentials)
