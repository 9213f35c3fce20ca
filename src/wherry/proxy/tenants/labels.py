"""Labels of ours on a tenant's objects: an index for recovery, and never the authority."""

from __future__ import annotations

PREFIX = "wherry.proxy."
INSTANCE = f"{PREFIX}instance"
"""Of the registry that knows the object."""
TENANT = f"{PREFIX}tenant"
NONCE = f"{PREFIX}nonce"
"""Of the reservation that it came of: what a crash left half made is found by it."""


def owner_labels(*, instance: str, tenant: str, nonce: str) -> dict[str, str]:
    """Return the labels that an object gets when it is made."""
    return {INSTANCE: instance, TENANT: tenant, NONCE: nonce}
