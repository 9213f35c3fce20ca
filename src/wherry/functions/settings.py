"""What a deployment's labels and environment mean for the calls of its function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from wherry.errors import UsageError
from wherry.functions import values
from wherry.functions.model import Deployment, Settings
from wherry.models import Ready
from wherry.names import nearest
from wherry.options.fields import FIELDS

PREFIX = "wherry."
SCALE = "com.openfaas.scale."

Parse = Callable[[str, str], Any]
"""Called with the text and the name of the field it stands in; raises :class:`UsageError`."""


@dataclass(frozen=True, slots=True)
class Label:
    """One label of ours, and what it sets."""

    name: str
    """Without :data:`PREFIX`; the key of a function's table in ``wherry.toml`` as well."""
    field: str
    """Of :class:`Settings` for :data:`SETTINGS`, of :class:`wherry.Function` for :data:`RUNS`."""
    parse: Parse
    example: str
    meaning: str


def _option(name: str, text: str, field: str) -> Any:  # noqa: ANN401 - as the option's own
    try:
        return FIELDS[name](text)
    except UsageError as error:
        raise UsageError(f"{field.removesuffix(name)}{error}") from None


SETTINGS = (
    Label("timeout", "timeout", values.positive_seconds, "2s",
          "how long a call may take; the server's own maximum still holds"),
    Label("concurrency", "concurrency", partial(values.whole, least=1), "8",
          "calls at one time; what is more is answered 429"),
    Label("queue_wait", "queue_wait", values.seconds, "500ms",
          "how long a call waits for a place below `concurrency` before its 429"),
    Label("max_body", "max_body", values.size, "10Mi",
          "the largest request body; what is larger is answered 413"),
    Label("stream", "stream", values.truth, "true",
          "answer live, without holding back the first 64 KiB"),
    Label("ready", "ready", values.ready, "created:2",
          "containers that exist before their calls: `created:N` up to the program's start, "
          "`started:N` with the program waiting for its stdin, `N` as `created:N`; "
          "`created:0` keeps none but learns from calls, `none` never makes one"),
    Label("retries", "retries", partial(values.whole, least=0), "3",
          "tries after the first of an asynchronous call"),
    Label("retry_codes", "retry_codes", values.exit_codes, "75,111",
          "exit codes of asynchronous calls that are tried again"),
    Label("mode", "mode", values.mode, "cgi",
          "how the program speaks: `stdio` (stdin in, stdout out), `cgi`, or `http`"),
    Label("port", "port", partial(values.whole, least=1, most=65535), "8080",
          "where a program of mode `http` listens"),
    Label("funker", "funker", partial(values.whole, least=1, most=65535), "9999",
          "the image was made for Funker, and its program takes one call on this port; it is "
          "called through stdin and stdout like any other"),
    Label("health", "health", values.path, "/healthz",
          "path that answers 2xx when a program of mode `http` is well; without it, one that "
          "accepts connections is"),
    Label("docker_api", "docker_api", values.scoped, "children:20,memory:2g,image:busybox",
          "its containers get a Docker socket that shows them their own children only; limits and "
          "keys of a policy, or `true` for the defaults. Children end with the call, or with "
          "the gateway when a `tenant:NAME` is given, which functions may share"),
    Label("path", "path", values.prefix, "/shop",
          "prefix of the gateway's own paths that leads to this function"),
    Label("auth", "auth", values.truth, "true",
          "whether a call needs a token of scope `invoke:NAME`"),
)  # fmt: skip
"""Labels about calls of the function."""

RUNS = (
    Label("network", "network", partial(_option, "network"), "private",
          "`none`, `private` (a way out of its own), or `host` (this machine's network)"),
    Label("user", "user", partial(_option, "user"), "1000:1000",
          "who the program runs as, in the image's own names and numbers"),
    Label("workdir", "workdir", values.path, "/data", "where the program starts"),
    Label("pids", "pids", partial(values.whole, least=1), "64",
          "processes and threads at one time"),
    Label("tmp", "tmp", values.size, "256Mi", "bytes that a call may write to its file system"),
    Label("max_stdout", "stdout", values.size, "100Mi",
          "bytes of stdout after which the call is ended"),
    Label("stop_signal", "stop_signal", partial(_option, "stop_signal"), "SIGINT",
          "what asks the program to stop, in place of SIGTERM"),
    Label("pull", "pull", partial(_option, "pull"), "always",
          "when the registry is asked for the image: `missing`, `always` or `never`"),
    Label("platform", "platform", partial(_option, "platform"), "linux/arm64",
          "platform of the image, where it has several"),
)  # fmt: skip
"""Labels about the container of each call."""

ECOSYSTEM = (
    ("envVars.exec_timeout", "as `wherry.timeout`; `0` is none"),
    ("envVars.max_inflight", "as `wherry.concurrency`; `0` is none"),
    (f"{SCALE}min", "ready containers that a function begins with; 1 without it"),
    (f"{SCALE}max", "the most that it may be scaled to; 20 without it"),
    (
        f"{SCALE}zero",
        "whether a function without calls gives up its ready containers; `true` without it",
    ),
)  # fmt: skip
"""Where the ecosystem says the same, and what it means here."""

LABELS: Mapping[str, Label] = {PREFIX + label.name: label for label in (*SETTINGS, *RUNS)}


def settings_of(deployment: Deployment) -> Settings:
    """Read what labels and environment say. Raises :class:`UsageError` naming the field.

    ``wherry.*`` wins over the ecosystem's own spellings. A label below ``wherry.`` that does
    not exist is an error; all others are the deployer's own business.
    """
    labels = deployment.labels or {}
    check_labels(labels)
    fields = _from_ecosystem(labels, env=deployment.env_vars or {}) | read(SETTINGS, labels)
    settings = Settings(**fields)
    if settings.scale_min > settings.scale_max:
        raise UsageError(
            f"labels.{SCALE}min: {settings.scale_min} is more than {SCALE}max, "
            f"which is {settings.scale_max}"
        )
    if settings.docker_api is not None and settings.ready is not None and settings.ready.max:
        raise UsageError(
            f"labels.{PREFIX}docker_api: {settings.docker_api!r} does not go with {PREFIX}ready: a "
            "socket is one call's own"
        )
    return settings


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise :class:`UsageError` for a label of ours that does not exist."""
    for name in labels:
        if name.startswith(PREFIX) and name not in LABELS:
            raise UsageError(f"labels: there is no {name!r}{nearest(name, LABELS)}")


def read(table: tuple[Label, ...], labels: Mapping[str, str]) -> dict[str, Any]:
    """Return field to value of those labels of a table that are there."""
    return {
        label.field: label.parse(labels[name], f"labels.{name}")
        for label in table
        if (name := PREFIX + label.name) in labels
    }


def ready_of(settings: Settings, *, replicas: int | None = None) -> Ready | None:
    """Return the containers to keep ready; ``replicas`` is what scaling asked for, if it did."""
    if replicas is None:
        return settings.ready
    asked = settings.ready or Ready()
    most = max(replicas, asked.max) if replicas else 0
    return dataclasses.replace(asked, min=replicas, max=most)


def _from_ecosystem(labels: Mapping[str, str], *, env: Mapping[str, str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if "exec_timeout" in env:
        seconds = values.seconds(env["exec_timeout"], "envVars.exec_timeout")
        fields["timeout"] = seconds or None
    if "max_inflight" in env:
        number = values.whole(env["max_inflight"], "envVars.max_inflight", least=0)
        fields["concurrency"] = number or None
    for name, field in (("min", "scale_min"), ("max", "scale_max")):
        if (label := SCALE + name) in labels:
            fields[field] = values.whole(labels[label], f"labels.{label}", least=1)
    if (label := f"{SCALE}zero") in labels:
        fields["scale_to_zero"] = values.truth(labels[label], f"labels.{label}")
    return fields
