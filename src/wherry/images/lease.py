"""The right to run from an image: while it is held, nobody can remove that image."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

from wherry.errors import ImageNotFound
from wherry.images.locks import acquire

if TYPE_CHECKING:
    from wherry.images.layout import Layout


class Lease:
    """A shared lock on an image's record; ends with :meth:`close`, or with its process.

    A child that inherits :meth:`fileno` holds the lease as well, until it ends.
    """

    def __init__(self, image_id: str, fd: int) -> None:
        self.image_id = image_id
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor that holds the lock."""
        return self._fd

    def close(self) -> None:
        """Give the lease back. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def lease(layout: Layout, image_id: str) -> Lease:
    """Lease an image; raises :class:`ImageNotFound` when it was removed since it was found."""
    try:
        fd = acquire(layout.record_of(image_id), shared=True, create=False)
    except FileNotFoundError as error:
        raise ImageNotFound(f"image {image_id} was removed meanwhile; pull it again") from error
    return Lease(image_id, fd)
