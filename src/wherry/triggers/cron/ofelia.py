"""Jobs of ofelia as schedules: the options of its files and of its labels."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from wherry.errors import Unsupported, UsageError
from wherry.names import nearest
from wherry.triggers.cron.checking import checked
from wherry.triggers.cron.declared import Declared
from wherry.triggers.cron.ini import Section, sections
from wherry.triggers.cron.model import Definition, Kind

Options = Mapping[str, list[str]]
_KINDS: dict[str, Kind] = {
    "job-run": "run", "job-exec": "exec", "job-local": "local", "job-service-run": "service-run",
}  # fmt: skip
_TEXTS = {
    "schedule": "schedule", "timezone": "timezone", "image": "image", "container": "container",
    "user": "user", "hostname": "hostname", "dir": "workdir", "save-folder": "save_folder",
    "slack-webhook": "slack_webhook", "smtp-host": "smtp_host", "smtp-user": "smtp_user",
    "smtp-password": "smtp_password", "email-from": "email_from", "timeout": "timeout",
    "backoff": "backoff", "catch-up": "catch_up", "jitter": "jitter", "ping": "ping",
    "webhook": "webhook", "workdir": "workdir",
}  # fmt: skip
_TRUTHS = {
    "save-only-on-error": "save_only_on_error", "slack-only-on-error": "slack_only_on_error",
    "mail-only-on-error": "mail_only_on_error", "webhook-only-on-error": "webhook_only_on_error",
    "smtp-tls-skip-verify": "smtp_tls_skip_verify",
}  # fmt: skip
_SHARED = frozenset({
    "save-folder", "slack-webhook", "smtp-host", "smtp-port", "smtp-user", "smtp-password",
    "email-to", "email-from", "webhook", "timezone", *_TRUTHS,
})  # fmt: skip
"""What ``[global]`` may say for all jobs."""
_MORE = ("command", "environment", "volume", "volumes-from", "network", "delete", "pull", "tty",
         "no-overlap", "overlap", "smtp-port", "email-to", "retries")  # fmt: skip
_KNOWN = (*_TEXTS, *_TRUTHS, *_MORE)
_NETWORKS = {"bridge": "private", "default": "private", "private": "private", "host": "host",
             "none": "none"}  # fmt: skip


def declared_in(text: str) -> Declared:
    """Read an INI file. Raises :class:`UsageError` for one that is none at all."""
    return declared_by(sections(text))


def declared_by(found: Iterable[Section]) -> Declared:
    """Read sections, wherever they are from."""
    listed = list(found)
    shared: dict[str, list[str]] = {}
    wrong: dict[str, str] = {}
    for section in listed:
        if section.kind == "global":
            shared |= section.options
            if unknown := [key for key in section.options if key not in _SHARED]:
                wrong["global"] = f"there is no {unknown[0]!r}{nearest(unknown[0], _SHARED)}"
    definitions: dict[str, Definition] = {}
    for section in listed:
        if section.kind == "global":
            continue
        name = section.name or section.kind
        try:
            if name in definitions:
                raise UsageError(f"name: there are two jobs {name!r}; give each its own")
            definitions[name] = _job(section, shared)
        except UsageError as error:
            wrong[name] = f"{section.kind} {name!r}: {error}"
            definitions.pop(name, None)
    return Declared(tuple(definitions.values()), wrong)


def _job(section: Section, shared: Options) -> Definition:
    kind = _KINDS.get(section.kind)
    if kind is None:
        raise UsageError(f"there is no section {section.kind!r}{nearest(section.kind, _KINDS)}")
    for key in section.options:
        if key not in _KNOWN:
            raise UsageError(f"{key}: there is no such option{nearest(key, _KNOWN)}")
    options = {**{key: value for key, value in shared.items() if key in _SHARED}, **section.options}
    if not options.get("schedule"):
        raise UsageError("schedule: it is missing")
    fields: dict[str, Any] = {"name": section.name, "kind": kind}
    fields |= {name: options[key][-1] for key, name in _TEXTS.items() if key in options}
    fields |= {name: _truth(options, key) for key, name in _TRUTHS.items() if key in options}
    fields |= {name: read(options) for name, read in _READ.items()}
    if kind == "run":
        fields |= _of_run(options)
    if kind == "service-run":
        fields["networks"] = options.get("network")
    found = Definition(**{name: value for name, value in fields.items() if value is not None})
    checked(found)
    return found


def _of_run(options: Options) -> dict[str, Any]:
    if "volumes-from" in options:
        raise Unsupported("volumes-from: another container's volumes are not shared; name paths")
    network = options.get("network", ["bridge"])[-1]
    if network not in _NETWORKS:
        raise Unsupported(f"network: {network!r} cannot be joined; write bridge, host or none")
    started = "container" in options
    pull = None if "pull" not in options else "always" if _truth(options, "pull") else "never"
    return {
        "network": None if started else _NETWORKS[network],
        "pull": None if started else pull,
        "volumes": [_volume(each) for each in options.get("volume", ())] or None,
    }


def _volume(text: str) -> str:
    """Docker's volumes are writable unless they say otherwise, ours read-only."""
    return text if text.endswith((":ro", ":rw")) else f"{text}:rw"


def _command(options: Options) -> list[str] | None:
    if "command" not in options:
        return None
    text = options["command"][-1]
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"command: {text!r} cannot be cut into words: {error}") from error


def _environment(options: Options) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for line in options.get("environment", ()):
        name, equals, value = line.partition("=")
        if not name or not equals:
            raise UsageError(f"environment: {name!r} has no value; write NAME=value")
        found[name] = value
    return found or None


def _overlap(options: Options) -> str:
    if "overlap" in options:
        asked = options["overlap"][-1]
        known = ("skip", "allow", "queue", "replace")
        if asked not in known:
            raise UsageError(f"overlap: there is no {asked!r}{nearest(asked, known)}")
        return asked
    return "skip" if "no-overlap" in options and _truth(options, "no-overlap") else "allow"


def _addresses(options: Options) -> list[str] | None:
    texts = ",".join(options.get("email-to", ())).split(",")
    return [text.strip() for text in texts if text.strip()] or None


def _number(options: Options, key: str, *, most: int) -> int | None:
    if key not in options:
        return None
    text = options[key][-1]
    if not (text.isascii() and text.isdigit() and int(text) <= most):
        raise UsageError(f"{key}: {text!r} is no whole number up to {most}")
    return int(text)


def _truth(options: Options, key: str) -> bool:
    text = options[key][-1].lower()
    if text not in ("true", "false", "1", "0", "yes", "no", "on", "off", "t", "f"):
        raise UsageError(f"{key}: {text!r} is neither true nor false")
    return text in ("true", "1", "yes", "on", "t")


_READ: dict[str, Callable[[Options], Any]] = {
    "command": _command,
    "env": _environment,
    "overlap": _overlap,
    "email_to": _addresses,
    "smtp_port": lambda options: _number(options, "smtp-port", most=65535),
    "retries": lambda options: _number(options, "retries", most=100),
}
"""Field of a definition to what reads it."""
