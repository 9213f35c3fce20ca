"""Labels of ours on a tenant's objects: an index for recovery, and never the authority."""

from __future__ import annotations

from wherry.proxy.policy.model import OWNER

PREFIX = "wherry.proxy."
INSTANCE = f"{PREFIX}instance"
"""Of the registry that knows the object."""
NONCE = f"{PREFIX}nonce"
"""Of the reservation that it came of: what a crash left half made is found by it."""

BUILD = f"{PREFIX}build"
"""Of the instance, on what a build makes on its way; empty on the image that comes of it."""


def build_labels(*, instance: str, tenant: str) -> dict[str, str]:
    """Return the labels of what a build makes on its way to an image."""
    return {OWNER: tenant, BUILD: instance}


def owner_labels(*, instance: str, tenant: str, nonce: str) -> dict[str, str]:
    """Return the labels that an object gets when it is made."""
    return {INSTANCE: instance, OWNER: tenant, NONCE: nonce}
