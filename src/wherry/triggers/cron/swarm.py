"""Schedules that services of a Swarm declare about themselves: swarm-cronjob's labels.

https://crazymax.dev/swarm-cronjob/usage/docker-labels/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.names import nearest
from wherry.triggers.cron.checking import checked
from wherry.triggers.cron.declared import Declared
from wherry.triggers.cron.model import Definition

if TYPE_CHECKING:
    from wherry.triggers.cron.labels import Labelled

_PREFIX = "swarm.cronjob."
ENABLED = f"{_PREFIX}enable"
_KNOWN = ("enable", "schedule", "skip-running", "replicas", "registry-auth")


def declared_by(services: Iterable[Labelled]) -> Declared:
    """Read ``swarm.cronjob.*`` of all services with ``swarm.cronjob.enable=true``.

    A schedule has its service's name. A run that is due while the one before goes on replaces
    it, as an update of the service does, unless ``skip-running`` says otherwise.
    """
    definitions: dict[str, Definition] = {}
    wrong: dict[str, str] = {}
    for service in sorted(services, key=lambda each: each.name):
        options = {
            label.removeprefix(_PREFIX): value
            for label, value in service.labels.items()
            if label.startswith(_PREFIX)
        }
        try:
            if not _truth(options, "enable"):
                continue
            definitions[service.name] = _definition(service.name, options)
        except UsageError as error:
            wrong[service.name] = f"service {service.name!r}: {error}"
    return Declared(tuple(definitions.values()), wrong)


def _definition(name: str, options: dict[str, str]) -> Definition:
    for key in options:
        if key not in _KNOWN:
            raise UsageError(f"{_PREFIX}{key}: there is no such label{nearest(key, _KNOWN)}")
    if not options.get("schedule"):
        raise UsageError(f"{_PREFIX}schedule: it is missing")
    found = Definition(
        name=name,
        schedule=options["schedule"],
        kind="service-run",
        service=name,
        overlap="skip" if _truth(options, "skip-running") else "replace",
        replicas=_replicas(options.get("replicas", "1")),
        registry_auth=_truth(options, "registry-auth") or None,
    )
    checked(found)
    return found


def _replicas(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1000):
        raise UsageError(f"{_PREFIX}replicas: {text!r} is no number from 1 to 1000")
    return int(text)


def _truth(options: dict[str, str], key: str) -> bool:
    text = options.get(key, "false").lower()
    if text not in ("true", "false", "1", "0", "t", "f"):
        raise UsageError(f"{_PREFIX}{key}: {text!r} is neither true nor false")
    return text in ("true", "1", "t")
