"""The ``[functions.NAME]`` tables of ``wherry.toml``: friendly spellings of a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wherry.errors import UsageError
from wherry.functions import shapes
from wherry.functions.model import DEFAULT_NAMESPACE, Deployment, Resources
from wherry.functions.names import check_name, check_namespace
from wherry.functions.settings import LABELS, PREFIX, SCALE

KEYS: Mapping[str, str] = {
    "image": "the image; required, but for a pipe",
    "command": "list: the program's arguments, in place of the image's CMD",
    "process": "text: the whole program, whatever the image's entrypoint (`envProcess`)",
    "pipe": "list of functions: each one's stdout is the next one's stdin",
    "namespace": f"`{DEFAULT_NAMESPACE}` by default; made when it is missing",
    "env": "table: the environment",
    "secrets": "list: names of secrets, found in `/var/openfaas/secrets` and `/run/secrets`",
    "memory": "limit, such as `128Mi` (`limits.memory`)",
    "cpus": "limit: cores, such as `0.5` or `250m` (`limits.cpu`)",
    "read_only": "whether the image's file system cannot be written",
    "labels": "table: labels, ours or your own",
    "annotations": "table",
    "scale_min": f"label `{SCALE}min`",
    "scale_max": f"label `{SCALE}max`",
    "scale_to_zero": f"label `{SCALE}zero`",
}
"""Keys besides those that are labels of ours without their prefix."""

_SHORT = {label.name: name for name, label in LABELS.items()} | {
    "scale_min": f"{SCALE}min",
    "scale_max": f"{SCALE}max",
    "scale_to_zero": f"{SCALE}zero",
}


def deployments(tables: Mapping[str, Any]) -> list[Deployment]:
    """Return what the ``functions`` table declares. Raises :class:`UsageError`."""
    given = shapes.table(tables.get("functions"), "functions")
    return [_deployment(name, shapes.table(value, f"functions.{name}"))
            for name, value in given.items()]  # fmt: skip


def in_words(error: UsageError, field: str) -> str:
    """Say an error about a deployment in the words of its table."""
    said = str(error)
    if said.startswith(f"labels.{PREFIX}"):
        return f"{field}.{said.removeprefix(f'labels.{PREFIX}')}"
    for ours, theirs in (("envVars", "env"), ("limits.cpu", "cpus"), ("limits.memory", "memory"),
                         ("envProcess", "process")):  # fmt: skip
        if said.startswith(ours):
            return f"{field}.{theirs}{said.removeprefix(ours)}"
    return f"{field}: {said}"


def _deployment(name: str, given: dict[str, Any]) -> Deployment:
    field = f"functions.{name}"
    shapes.check_keys(given, [*KEYS, *_SHORT], field=field)
    namespace = shapes.text(given.get("namespace"), f"{field}.namespace") or DEFAULT_NAMESPACE
    check_namespace(namespace, field=f"{field}.namespace")
    memory, cpus = (_plain(given, key, field) for key in ("memory", "cpus"))
    read_only = given.get("read_only", False)
    if not isinstance(read_only, bool):
        raise UsageError(f"{field}.read_only: {read_only!r} must be true or false")
    return Deployment(
        service=check_name(name, field="functions"),
        image=shapes.text(given.get("image"), f"{field}.image"),
        namespace=namespace,
        env_process=shapes.text(given.get("process"), f"{field}.process"),
        env_vars=shapes.pairs(given.get("env"), f"{field}.env"),
        secrets=shapes.texts(given.get("secrets"), f"{field}.secrets"),
        labels=_labels(given, field),
        annotations=shapes.pairs(given.get("annotations"), f"{field}.annotations"),
        limits=Resources(memory=memory, cpu=cpus) if memory or cpus else None,
        read_only_root_filesystem=read_only,
        command=shapes.texts(given.get("command"), f"{field}.command"),
        pipe=shapes.texts(given.get("pipe"), f"{field}.pipe"),
    )


def _labels(given: dict[str, Any], field: str) -> dict[str, str] | None:
    labels = shapes.pairs(given.get("labels"), f"{field}.labels") or {}
    for key, label in _SHORT.items():
        if key not in given:
            continue
        if label in labels:
            raise UsageError(f"{field}: {key!r} and the label {label!r} are the same; give one")
        value = given[key]
        if key == "docker_api" and isinstance(value, dict):
            labels[label] = _scoped(value, f"{field}.{key}")
        elif isinstance(value, list):
            labels[label] = ",".join(shapes.plain(item, f"{field}.{key}") for item in value)
        else:
            labels[label] = shapes.plain(value, f"{field}.{key}")
    return labels or None


def _scoped(given: dict[str, Any], field: str) -> str:
    """Return a table of a policy's keys as the one line of its label."""
    parts = []
    for key, value in given.items():
        values = value if isinstance(value, list) else [value]
        parts += [f"{key}:{shapes.plain(each, f'{field}.{key}')}" for each in values]
    return ",".join(parts) or "true"


def _plain(given: dict[str, Any], key: str, field: str) -> str | None:
    return shapes.plain(given[key], f"{field}.{key}") if key in given else None
