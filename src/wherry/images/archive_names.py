"""The names that images have in archives."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.images.index import canonical

if TYPE_CHECKING:
    from wherry.images.model import Descriptor

REF_NAME = "org.opencontainers.image.ref.name"
CONTAINERD_NAME = "io.containerd.image.name"
_ONLY_A_TAG = re.compile(r"latest|v?[0-9][A-Za-z0-9_.-]*")


def names_of(descriptor: Descriptor) -> tuple[str, ...]:
    """Return the name that an entry of ``index.json`` gives an image, if it is one.

    Docker writes the whole name as containerd does, and only the tag as ``ref.name``, which
    says nothing about the rest of the name; podman and skopeo write names there.
    """
    full = descriptor.annotations.get(CONTAINERD_NAME)
    if full:
        return valid([full])
    name = descriptor.annotations.get(REF_NAME, "")
    return valid([name]) if name and not _ONLY_A_TAG.fullmatch(name) else ()


def valid(names: object) -> tuple[str, ...]:
    """Return those names that are references; an archive may hold anything."""
    found = []
    for name in names if isinstance(names, list) else []:
        try:
            found.append(str(canonical(str(name))))
        except UsageError:
            continue
    return tuple(found)
