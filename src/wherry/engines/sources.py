"""What was put into a ready container from this machine's files, to notice when it changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.models import Function

Sources = tuple[tuple[str, int, int], ...]


def sources_of(function: Function) -> Sources:
    """Return what the files and secrets of a function look like now: path, time and inode."""
    paths = [file.source for file in function.files]
    paths += [secret.path for secret in function.secrets]
    return tuple(_seen(path) for path in paths if path is not None)


def _seen(path: str) -> tuple[str, int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return path, 0, 0
    return path, found.st_mtime_ns, found.st_ino
