"""Whether a definition can be right, and how it is shown without its secrets."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from urllib.parse import urlsplit

import msgspec

from wherry.errors import Unsupported, UsageError
from wherry.functions.names import split_name
from wherry.options.mounts import parse_mount
from wherry.triggers.cron.model import Definition, Schedule
from wherry.triggers.cron.syntax import parse_when
from wherry.units import parse_duration

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,126}[A-Za-z0-9])?", re.ASCII)
_LONGEST = 366 * 86400.0
_NEEDS = {
    "function": ("function",),
    "run": ("image",),
    "exec": ("container", "command"),
    "local": ("command",),
    "service-run": (),
}
_OF_KIND = {
    "function": ("function", "input", "command", "env"),
    "run": ("image", "container", "input", "command", "env", "user", "workdir", "network",
            "hostname", "pull", "volumes"),
    "exec": ("container", "input", "command", "env", "user", "workdir"),
    "local": ("input", "command", "env", "workdir"),
    "service-run": ("image", "service", "replicas", "networks", "registry_auth", "command",
                    "env", "user"),
}  # fmt: skip
_EVERY = sorted({name for names in _OF_KIND.values() for name in names})
_HIDDEN = "…"


def checked(definition: Definition, *, created: float = 0.0) -> Schedule:
    """Return a definition with all that it means.

    Raises :class:`UsageError` that begins with the field that is wrong.
    """
    if not _NAME.fullmatch(definition.name):
        raise UsageError(
            f"name: {definition.name!r} is no name; write at most 128 letters, digits, spaces, "
            "'-', '_' and '.', with a letter or digit at both ends"
        )
    when = parse_when(definition.schedule, timezone=definition.timezone, anchor=created)
    _check_kind(definition)
    _check_reports(definition)
    for volume in definition.volumes or ():
        parse_mount(volume)
    return Schedule(
        definition=definition,
        when=when,
        timeout=_seconds(definition.timeout, "timeout", least=0.001),
        backoff=_seconds(definition.backoff, "backoff") or 1.0,
        catch_up=_seconds(definition.catch_up, "catch_up") or 0.0,
        jitter=_seconds(definition.jitter, "jitter") or 0.0,
    )


def check_allowed(definition: Definition, *, kinds: Collection[str]) -> None:
    """Raise :class:`Unsupported` for a kind of job that this server does not run."""
    kind = definition.kind
    if kind in kinds and not (kind == "run" and definition.container and "exec" not in kinds):
        return
    why = {
        "local": "programs of this machine are off; `wherry serve --schedule-local` allows them",
        "service-run": "services of a Swarm need the docker engine, as a manager of it",
    }.get(kind, "containers that exist already need the docker engine")
    raise Unsupported(f"kind: {kind!r} cannot be run here: {why}")


def shown(definition: Definition) -> Definition:
    """Return a definition for people: passwords, values of variables and paths of URLs hidden."""
    hidden: dict[str, object] = {
        name: _host(value)
        for name in ("ping", "webhook", "slack_webhook")
        if (value := getattr(definition, name))
    }
    if definition.smtp_password:
        hidden["smtp_password"] = _HIDDEN
    if definition.env:
        hidden["env"] = dict.fromkeys(definition.env, _HIDDEN)
    return msgspec.structs.replace(definition, **hidden)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{_HIDDEN}"


def _check_kind(definition: Definition) -> None:
    kind = definition.kind
    started = kind == "run" and definition.container is not None
    for name in () if started else _NEEDS[kind]:
        if not getattr(definition, name):
            raise UsageError(f"{name}: it is missing, and kind {kind!r} needs it")
    if started and definition.image:
        raise UsageError("container: an image is named too; one of them is right")
    if kind == "service-run":
        _check_service(definition)
    for name in _EVERY:
        if getattr(definition, name) is not None and name not in _OF_KIND[kind]:
            raise UsageError(f"{name}: kind {kind!r} has none; leave it out")
    if definition.function is not None:
        split_name(definition.function)
    _check_words(definition)


def _check_words(definition: Definition) -> None:
    for word in definition.command or ():
        if "\0" in word:
            raise UsageError(f"command: {word!r} holds a NUL character, which none can")
    for name, value in (definition.env or {}).items():
        if "\0" in value:  # it may be a secret, and is not said
            raise UsageError(f"env.{name}: its value holds a NUL character, which none can")


def _check_service(definition: Definition) -> None:
    if bool(definition.image) == bool(definition.service):
        raise UsageError("image: kind 'service-run' needs either an image or a service")
    if definition.replicas is not None and definition.image:
        raise UsageError("replicas: an image runs once; leave it out")
    for name in ("command", "env", "user", "networks") if definition.service else ():
        if getattr(definition, name) is not None:
            raise UsageError(f"{name}: the service says that itself; leave it out")


def _check_reports(definition: Definition) -> None:
    for name in ("ping", "webhook", "slack_webhook"):
        url = getattr(definition, name)
        if url is not None and not _is_url(url):
            raise UsageError(f"{name}: it is no URL that begins with http:// or https://")
    mail = (definition.smtp_host, definition.email_to, definition.email_from)
    if any(mail) and not all(mail):
        raise UsageError("smtp_host: mail needs smtp_host, email_to and email_from together")
    for address in (*(definition.email_to or ()), definition.email_from or "a@b"):
        if not re.fullmatch(r"[^\s<>@,;]+@[^\s<>@,;]+", address):
            raise UsageError(f"email_to: {address!r} is no address of mail")
    folder = definition.save_folder
    if folder is not None and (not folder.startswith("/") or "\0" in folder):
        raise UsageError(f"save_folder: {folder!r} must be an absolute path")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return False
    return bool(right) and text.isprintable()


def _seconds(value: str | float | None, name: str, *, least: float = 0.0) -> float | None:
    if value is None:
        return None
    seconds = parse_duration(value, name=name)
    if not least <= seconds <= _LONGEST or math.isnan(seconds):
        raise UsageError(f"{name}: {value!r} is out of bounds; a year is the most")
    return seconds
