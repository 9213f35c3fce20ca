"""From the document a function was deployed with to what runs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wherry.errors import UsageError
from wherry.functions.funker import answering
from wherry.functions.model import Deployed, Deployment, Resources, Settings
from wherry.functions.names import check_name, place_of
from wherry.functions.quantities import parse_bytes, parse_cpus
from wherry.functions.settings import RUNS, read, ready_of, settings_of
from wherry.images.reference import Reference
from wherry.models import File, Function, Limits, Secret

if TYPE_CHECKING:
    from wherry.functions.secrets import SecretStore

SECRETS = "/var/openfaas/secrets"
"""Where OpenFaaS's functions look for their secrets; they are in ``/run/secrets`` as well."""

DOCKER_API = "wherry.docker-api"
"""Label of a container that gets a Docker socket of its own; its value says what it may do."""
_LONGEST = 128 * 1024
"""Bytes of one argument or variable, as Linux has it (MAX_ARG_STRLEN), with its NUL at the end."""
_IN_LIMITS = ("pids", "tmp", "stdout")


def declared(
    deployment: Deployment,
    *,
    secrets: SecretStore,
    created: float,
    source: str,
    replicas: int | None = None,
) -> Deployed:
    """Read a deployment; nothing but its own text is looked at.

    ``replicas`` is what scaling asked for, None where nobody did. Raises :class:`UsageError`
    that names the field, the value and what would be right.
    """
    name, namespace = place_of(deployment.service, namespace=deployment.namespace)
    settings = settings_of(deployment)
    function = Function(name=f"{name}.{namespace}", image=_image(deployment))
    if deployment.pipe is None:
        runs = read(RUNS, deployment.labels or {})
        entrypoint, command = _program(deployment)
        files, found = _secrets(deployment, namespace, secrets)
        function = replace(
            function,
            entrypoint=entrypoint,
            command=command,
            env=_variables(deployment.env_vars or {}),
            limits=_limits(deployment, runs),
            secrets=found,
            files=files,
            read_only=deployment.read_only_root_filesystem,
            ready=ready_of(settings, replicas=replicas),
            labels={DOCKER_API: settings.docker_api} if settings.docker_api else {},
            **runs,
        )
        if settings.funker is not None:
            if settings.mode != "stdio":
                raise UsageError(
                    f"labels.wherry.funker: {settings.funker} does not go with mode "
                    f"{settings.mode!r}; remove one of them"
                )
            function = answering(function, port=settings.funker)
    return Deployed(
        name=name,
        namespace=namespace,
        deployment=deployment,
        settings=settings,
        function=function,
        created=created,
        source=source,
        replicas=_replicas(settings) if replicas is None else replicas,
    )


def stages_of(deployment: Deployment) -> list[tuple[str, str]]:
    """Return (name, namespace) of each function in a pipe; a bare name is a neighbour's.

    Raises :class:`UsageError`.
    """
    _, namespace = place_of(deployment.service, namespace=deployment.namespace)
    return [
        place_of(stage) if "." in stage else (check_name(stage, field="pipe"), namespace)
        for stage in deployment.pipe or ()
    ]


def _image(deployment: Deployment) -> str:
    if deployment.pipe is not None:
        return _no_image(deployment)
    if not deployment.image:
        raise UsageError("image: it is missing; give a name such as busybox or ghcr.io/me/upper:1")
    if not deployment.image.startswith("sha256:"):
        Reference.parse(deployment.image)
    return deployment.image


def _no_image(deployment: Deployment) -> str:
    if len(deployment.pipe or ()) < 2:
        raise UsageError(f"pipe: {deployment.pipe!r} needs the names of at least two functions")
    for field in ("image", "env_process", "command", "env_vars", "secrets", "limits"):
        if getattr(deployment, field):
            camel = {"env_process": "envProcess", "env_vars": "envVars"}.get(field, field)
            raise UsageError(f"{camel}: a pipe has none; its functions have their own")
    stages_of(deployment)
    return ""


def _program(deployment: Deployment) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Return entrypoint and command.

    ``command`` stands in place of the image's CMD, as after ``wherry run IMAGE``. OpenFaaS's
    ``envProcess`` is all that its watchdog would start, whatever the image's entrypoint.
    """
    process = deployment.env_process or (deployment.env_vars or {}).get("fprocess", "")
    if deployment.command is not None:
        if deployment.env_process:
            raise UsageError("command: give it or envProcess, not both")
        return None, _words(deployment.command, "command")
    if not process:
        return None, ()
    try:
        words = shlex.split(process)
    except ValueError as error:
        raise UsageError(f"envProcess: {process!r} cannot be read: {error}") from error
    return ((), _words(words, "envProcess")) if words else (None, ())


def _words(words: list[str], field: str) -> tuple[str, ...]:
    if any("\0" in word for word in words):
        raise UsageError(f"{field}: {words!r} holds a NUL character, which none can")
    for word in words:
        _check_length(word, field)
    return tuple(words)


def _variables(env: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name:
            raise UsageError(f"envVars: {name!r} is no name of a variable")
        if "\0" in value:
            raise UsageError(f"envVars.{name}: the value holds a NUL character, which none can")
        _check_length(f"{name}={value}", f"envVars.{name}")
    return dict(env)


def _check_length(text: str, field: str) -> None:
    size = len(text.encode("utf-8", "surrogatepass")) + 1
    if size > _LONGEST:
        raise UsageError(
            f"{field}: {size} bytes are too many; Linux hands on {_LONGEST} at most, so make it a "
            "secret, or a file of the image"
        )


def _limits(deployment: Deployment, runs: dict[str, Any]) -> Limits:
    """Return the limits; takes those that labels set out of ``runs``."""
    fields: dict[str, Any] = _resources(deployment)
    return Limits(**fields, **{name: runs.pop(name) for name in _IN_LIMITS if name in runs})


def _resources(deployment: Deployment) -> dict[str, int | float]:
    limits = _amounts(deployment.limits, "limits")
    for name, amount in _amounts(deployment.requests, "requests").items():
        if amount > limits.get(name, amount):
            raise UsageError(
                f"requests.{name}: {getattr(deployment.requests, name)!r} is more than its limit, "
                f"{getattr(deployment.limits, name)!r}"
            )
    return {"cpus" if name == "cpu" else name: amount for name, amount in limits.items()}


def _amounts(given: Resources | None, field: str) -> dict[str, int | float]:
    if given is None:
        return {}
    if given.gpu not in (None, "", "0"):
        raise UsageError(
            f"{field}.nvidia.com/gpu: {given.gpu!r} cannot be had; no engine gives any"
        )
    amounts: dict[str, int | float] = {}
    if given.memory:
        amounts["memory"] = parse_bytes(given.memory, field=f"{field}.memory")
    if given.cpu:
        amounts["cpu"] = parse_cpus(given.cpu, field=f"{field}.cpu")
    return amounts


def _secrets(
    deployment: Deployment, namespace: str, store: SecretStore
) -> tuple[tuple[File, ...], tuple[Secret, ...]]:
    # A queued call carries the paths, never the values; each container reads them anew.
    names = dict.fromkeys(deployment.secrets or ())
    paths = {name: str(store.path(name, namespace=namespace)) for name in names}
    files = (File(target=f"{SECRETS}/{name}", source=path, mode=0o444)
             for name, path in paths.items())  # fmt: skip
    return tuple(files), tuple(Secret(name=name, path=path) for name, path in paths.items())


def _replicas(settings: Settings) -> int:
    return settings.scale_min if settings.ready is None else settings.ready.min
