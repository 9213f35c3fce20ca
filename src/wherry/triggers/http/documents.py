"""The documents of `/system`, as clients of OpenFaaS send and read them.

https://github.com/openfaas/faas-provider/tree/master/types
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from wherry.functions.model import Deployment, Resources
from wherry.functions.namespaces import Namespace


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A document whose fields are in camel case."""


class Usage(_Document, frozen=True, kw_only=True, rename="camel"):
    """What the containers of a function take now, the ready ones included.

    0 where the engine does not tell, as the memory engine, and for a pipe.
    """

    cpu: float
    """Thousandths of a core, over the last fifth of a second."""
    total_memory_bytes: int


class FunctionStatus(_Document, frozen=True, kw_only=True, rename="camel"):
    """A deployed function: what was given, and how it does. What was not given is absent."""

    name: str
    namespace: str
    image: str
    labels: dict[str, str]
    annotations: dict[str, str]
    invocation_count: int
    replicas: int
    """Containers by intent: those kept ready, and those that run."""
    available_replicas: int
    """Containers that are there now. A function whose containers are made by its calls alone, as
    those of a pipe, counts as what was asked for, so that who waits for it sees that it can be
    called; one that is scaled to none counts as none, and can be called as well."""
    created_at: Annotated[datetime, Meta(tz=True)]
    env_process: str | UnsetType = UNSET
    env_vars: dict[str, str] | UnsetType = UNSET
    constraints: list[str] | UnsetType = UNSET
    secrets: list[str] | UnsetType = UNSET
    limits: Resources | UnsetType = UNSET
    requests: Resources | UnsetType = UNSET
    read_only_root_filesystem: bool | UnsetType = UNSET
    command: list[str] | UnsetType = UNSET
    pipe: list[str] | UnsetType = UNSET
    usage: Usage | UnsetType = UNSET


class DeleteFunction(_Document, frozen=True, kw_only=True, rename="camel"):
    """Which function to remove."""

    function_name: str
    namespace: str = ""


class ScaleFunction(_Document, frozen=True, kw_only=True, rename="camel"):
    """How many containers of a function are to be ready."""

    replicas: Annotated[int, Meta(ge=0)]
    service_name: str = ""
    """As in the path, where it is given."""
    namespace: str = ""


class Secret(_Document, frozen=True, kw_only=True, rename="camel"):
    """A secret; its value is never returned."""

    name: str
    namespace: str = ""
    value: str | UnsetType = UNSET
    raw_value: bytes | UnsetType = UNSET
    """In base64, in place of ``value``."""


class NamedSecret(_Document, frozen=True, kw_only=True, rename="camel"):
    """Which secret."""

    name: str
    namespace: str = ""


class LogMessage(_Document, frozen=True, kw_only=True, rename="camel"):
    """One line that a function wrote to stderr."""

    name: str
    namespace: str
    instance: str
    """Id of the call."""
    timestamp: Annotated[datetime, Meta(tz=True)]
    text: str


class Version(_Document, frozen=True, kw_only=True, rename="camel"):
    """What runs."""

    sha: str
    release: str


class Provider(_Document, frozen=True, kw_only=True, rename="camel"):
    """What runs functions."""

    provider: str
    orchestration: str
    version: Version


class Info(_Document, frozen=True, kw_only=True, rename="camel"):
    """What this gateway is."""

    provider: Provider
    version: Version
    arch: str


class InNamespace(_Document, frozen=True, kw_only=True, rename="camel"):
    """Query: a namespace, the default one when it is left out."""

    namespace: str = ""


class FunctionQuery(_Document, frozen=True, kw_only=True, rename="camel"):
    """Query of one function."""

    namespace: str = ""
    usage: bool = False
    """With what its containers take now."""


class LogsQuery(_Document, frozen=True, kw_only=True, rename="camel"):
    """Query of a function's log."""

    name: str
    namespace: str = ""
    instance: str = ""
    """Of one call only."""
    tail: int = 0
    """At most so many of the last lines; all of them for 0 and less."""
    follow: bool = False
    """Go on with lines as they come."""
    since: Annotated[datetime, Meta(tz=True)] | None = None
    """Lines from this time on, as in RFC 3339."""


__all__ = [
    "DeleteFunction",
    "Deployment",
    "FunctionQuery",
    "FunctionStatus",
    "InNamespace",
    "Info",
    "LogMessage",
    "LogsQuery",
    "NamedSecret",
    "Namespace",
    "Provider",
    "Resources",
    "ScaleFunction",
    "Secret",
    "Usage",
    "Version",
]
