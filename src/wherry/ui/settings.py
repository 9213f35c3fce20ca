"""What a function was deployed with, as rows of a table."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from wherry.ui import formats

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.functions.model import Deployed, Deployment, Resources

Rows = list[tuple[str, str]]


def settings_of(deployed: Deployed, *, max_timeout: float) -> list[tuple[str, Rows]]:
    """Return (heading, rows) of what there is to say; a heading without rows is left out."""
    deployment = deployed.deployment
    groups = [
        ("Program", [*_program(deployed)]),
        ("Calls", [*_calls(deployed, max_timeout)]),
        ("Environment", sorted((deployment.env_vars or {}).items())),
        ("Labels", sorted((deployment.labels or {}).items())),
        ("Annotations", sorted((deployment.annotations or {}).items())),
    ]
    return [(heading, rows) for heading, rows in groups if rows]


def _program(deployed: Deployed) -> Iterator[tuple[str, str]]:
    deployment = deployed.deployment
    if deployment.pipe:
        yield "Pipe", " | ".join(deployment.pipe)
    else:
        yield "Image", deployment.image
        yield "Command", command_of(deployment) or "the image's own"
    yield "Namespace", deployed.namespace
    yield "Declared by", "a client" if deployed.source == "api" else deployed.source
    yield "Deployed", formats.clock(deployed.created)
    if deployment.secrets:
        yield "Secrets", ", ".join(deployment.secrets)
    for name, resources in (("Limits", deployment.limits), ("Requests", deployment.requests)):
        if said := _resources(resources):
            yield name, said
    if deployment.read_only_root_filesystem:
        yield "Root file system", "read-only"


def _calls(deployed: Deployed, max_timeout: float) -> Iterator[tuple[str, str]]:
    settings = deployed.settings
    timeout = min(settings.timeout or max_timeout, max_timeout)
    whose = "" if settings.timeout == timeout else ", the server's maximum"
    yield "Timeout", formats.seconds(timeout) + whose
    limit = settings.concurrency
    yield "At one time", "no limit" if limit is None else f"{limit} calls"
    if settings.queue_wait:
        yield "Waits for a place", formats.seconds(settings.queue_wait)
    if settings.max_body is not None:
        yield "Largest request", formats.size(settings.max_body)
    yield "Speaks", {"stdio": "stdin and stdout", "cgi": "CGI", "http": "HTTP"}[settings.mode]
    if settings.path is not None:
        yield "Also at", settings.path
    if settings.auth:
        yield "Needs", "a token that may invoke it"
    if settings.retries is not None:
        yield "Tried again", f"{settings.retries} times, when it is queued"


def command_of(deployment: Deployment) -> str:
    """Return the program and its arguments as one would type them."""
    return shlex.join(deployment.command) if deployment.command else deployment.env_process


def _resources(resources: Resources | None) -> str:
    if resources is None:
        return ""
    said = (("memory", resources.memory), ("CPU", resources.cpu), ("GPU", resources.gpu))
    return ", ".join(f"{value} {name}" for name, value in said if value)
