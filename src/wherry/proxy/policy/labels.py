"""Labels that a tenant may set, and those that would steer something on the host (2.3, F7)."""

from __future__ import annotations

from collections.abc import Mapping

from wherry.proxy.policy.model import NESTED, OURS, Denied, Policy

RESERVED = (
    OURS,
    "com.docker.",
    "com.sockguard.",
    "socket-proxy.allow",
    "traefik.",
    "ofelia.",
    "swarm.cronjob",
    "com.centurylinklabs.watchtower",
)
"""Prefixes that are the proxy's, the engine's, and of controllers that act on labels."""

LARGEST = 16 * 1024
"""Bytes of all labels of one object: the engine repeats them in lists, and in each event."""


def is_reserved(key: str, policy: Policy) -> bool:
    """Whether a tenant may not set this label. Never open are the proxy's own."""
    folded = key.strip().casefold()
    if folded.startswith(OURS):
        return True
    if any(folded.startswith(prefix.casefold()) for prefix in policy.labels):
        return False
    return any(folded.startswith(prefix) for prefix in RESERVED)


def check(labels: Mapping[str, str], policy: Policy, *, field: str) -> dict[str, str]:
    """Return labels without the one that asks for a nested socket; raises :class:`Denied`."""
    if sum(len(key.encode()) + len(value.encode()) for key, value in labels.items()) > LARGEST:
        raise Denied(413, f"{field}: more than {LARGEST} bytes of labels", rule="2.3 Labels")
    for key in labels:
        if not key:
            raise Denied(400, f"{field}: a label needs a name", rule="2.3 Labels")
        if key != NESTED and is_reserved(key, policy):
            raise Denied(
                403, f"{field}: {key!r} is reserved for the host; use a prefix of your own",
                rule="2.3 Labels",
            )  # fmt: skip
    return {key: value for key, value in labels.items() if key != NESTED}


def neutral(inherited: Mapping[str, str], policy: Policy) -> dict[str, str]:
    """Return the reserved labels that an image would hand down, emptied (F7)."""
    return {key: "" for key in inherited if is_reserved(key, policy)}
