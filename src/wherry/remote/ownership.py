"""Whose container it is: a label that only this server sets, and that every verb looks at.

What belongs to somebody else is answered as if it did not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.errors import NotFound
from wherry.remote.faults import Forbidden
from wherry.remote.model import NO_TEXT, Caller, Containers

OWNER = "wherry.remote.token"
"""Label: the name of the token that made a container."""
RESERVED = "wherry."
"""What the labels begin with that requests may not set: they say whose it is, and who ends it."""


def seen_by(caller: Caller) -> Mapping[str, str]:
    """Return the labels that every container has which a caller may see."""
    return NO_TEXT if caller.is_admin else {OWNER: caller.name}


def labels_for(caller: Caller, asked: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a container that a caller makes; raises Forbidden for ours."""
    for name in asked:
        if name.startswith(RESERVED):
            raise Forbidden(f"labels: {name!r} begins with {RESERVED!r}, which this server sets")
    return {**asked, OWNER: caller.name}


def is_owned(details: Mapping[str, Any], caller: Caller) -> bool:
    """Whether a caller may see the container that an engine tells of."""
    if caller.is_admin:
        return True
    labels = (details.get("Config") or {}).get("Labels") or {}
    return bool(labels.get(OWNER) == caller.name)


async def owned(containers: Containers, caller: Caller, *, name: str) -> str:
    """Return the full id of a container of the caller's, or of anybody's for an admin.

    From then on the id is used: a name can mean another container a moment later. Raises
    NotFound, in the same words, for what does not exist and for what is somebody else's.
    """
    return str((await details_of(containers, caller, name=name))["Id"])


async def details_of(containers: Containers, caller: Caller, *, name: str) -> Mapping[str, Any]:
    """Return what the engine knows of a container; raises as :func:`owned` does."""
    try:
        details = await containers.inspect(caller, name)
    except NotFound:
        raise missing(name) from None
    if not is_owned(details, caller):
        raise missing(name)
    return details


def missing(name: str) -> NotFound:
    """Return what is raised for a container that a caller cannot see."""
    return NotFound(f"No such container: {name}")
