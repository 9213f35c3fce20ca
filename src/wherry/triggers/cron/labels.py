"""Jobs that containers declare about themselves: ofelia's labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wherry.triggers.cron import ofelia
from wherry.triggers.cron.ini import Section

if TYPE_CHECKING:
    from wherry.triggers.cron.declared import Declared

ENABLED = "ofelia.enabled"
_SERVICE = "ofelia.service"
_PREFIX = "ofelia."


@dataclass(frozen=True, slots=True)
class Labelled:
    """A container that runs, with its labels."""

    name: str
    labels: Mapping[str, str]


def declared_by(containers: Iterable[Labelled]) -> Declared:
    """Read ``ofelia.<kind>.<job>.<option>`` of all containers with ``ofelia.enabled=true``.

    A ``job-exec`` runs in the container that declares it, and is called ``container.job``. Other
    kinds, and options for all jobs, count only where ``ofelia.service=true`` stands too. A value
    may be a JSON list.
    """
    found: list[Section] = []
    for container in sorted(containers, key=lambda each: each.name):
        if container.labels.get(ENABLED, "").lower() == "true":
            found += _sections(container)
    return ofelia.declared_by(found)


def _sections(container: Labelled) -> list[Section]:
    is_service = container.labels.get(_SERVICE, "").lower() == "true"
    shared = Section("global", "")
    jobs: dict[tuple[str, str], Section] = {}
    for label, value in sorted(container.labels.items()):
        if not label.startswith(_PREFIX) or label in (ENABLED, _SERVICE):
            continue
        parts = label.removeprefix(_PREFIX).split(".")
        if len(parts) == 1:
            shared.options[parts[0].lower()] = _values(value)
        elif len(parts) >= 3:
            kind, name, key = parts[0].lower(), ".".join(parts[1:-1]), parts[-1].lower()
            made = Section(kind, f"{container.name}.{name}" if kind == "job-exec" else name)
            jobs.setdefault((kind, name), made).options[key] = _values(value)
    for (kind, _), section in jobs.items():
        if kind == "job-exec":
            section.options.setdefault("container", [container.name])
    counted = [section for (kind, _), section in jobs.items() if is_service or kind == "job-exec"]
    return [*([shared] if is_service and shared.options else []), *counted]


def _values(text: str) -> list[str]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            return [text]
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return found
    return [text]
