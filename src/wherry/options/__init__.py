"""The keywords of a call, as people write them, and the :class:`Function` they come to."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, TypedDict, cast

from wherry.models import Collect, File, Function, Mount, Network, PullPolicy, Ready, Secret
from wherry.names import nearest
from wherry.options.environment import labels, variables
from wherry.options.fields import FIELDS, LIMITS, image_name, words
from wherry.options.mounts import mounts

__all__ = ["Options", "build_function", "override"]

StrPath = str | PathLike[str]


class Options(TypedDict, total=False):
    """Everything that may be said about a call besides image, arguments and input."""

    name: str
    """What the function is called in records and limits; otherwise the image's last part."""
    env: Mapping[str, str] | Sequence[str]
    """A mapping, or ``NAME=value``; ``NAME`` alone takes the value from our environment."""
    env_file: StrPath | Iterable[StrPath]
    """Files of ``NAME=value`` lines; what ``env`` says goes first."""
    entrypoint: str | Sequence[str]
    """Replaces the image's; text is one program, ``""`` clears it."""
    user: str | int
    """``uid``, ``name``, ``uid:gid`` or ``name:group``, in the image's own numbers and names."""
    workdir: str
    """Absolute path inside that the program starts in."""
    hostname: str
    """Otherwise the first twelve digits of the invocation's id."""
    network: Network
    """``none`` by default; see :attr:`wherry.models.Function.network`."""
    mounts: Iterable[Mount | str]
    """Mounts, or what docker's ``--mount`` and ``--volume`` take: such a text is
    read-only too, unless it says ``rw`` or ends in ``:rw``."""
    tmpfs: Mapping[str, int | str | None] | Sequence[str]
    """Target to size, or ``/target:size=64m``."""
    secrets: Mapping[str, StrPath | bytes | Secret] | Sequence[Secret]
    """Name to a path on this host, or to the value as bytes."""
    files: Mapping[str, StrPath | bytes | File] | Sequence[File]
    """Target to a path on this host, or to the content as bytes."""
    collect: Mapping[str, StrPath | Collect] | Sequence[Collect]
    """Path inside to the directory on this host that it is copied into."""
    memory: int | str
    """Bytes, or as in ``512m``."""
    cpus: float
    """CPU seconds per second: 1.5 is one and a half cores."""
    pids: int
    """Processes and threads at one time."""
    tmp: int | str
    """Bytes that may be written outside of mounts."""
    timeout: float | str
    """Seconds, or as in ``1m30s``; counts from the call."""
    stdout_limit: int | str
    """Bytes of stdout, after which the call is ended."""
    read_only: bool
    """The image's file system cannot be written; /tmp, /run and mounts still can."""
    labels: Mapping[str, str] | Sequence[str]
    """A mapping, or ``NAME=value``; ``wherry ps --json`` shows them."""
    stop_signal: str | int
    """A name or a number; see :attr:`wherry.models.Function.stop_signal`."""
    pull: PullPolicy
    """When the registry is asked for the image: ``missing``, ``always`` or ``never``."""
    platform: str
    """``os/architecture[/variant]`` of the image; this machine's by default."""
    concurrency: int
    """Calls of this function that run at one time."""
    ready: Ready | int
    """Containers kept ready: how, or how many at least."""


def build_function(
    image: str, command: Sequence[str] = (), *, options: Options | None = None
) -> Function:
    """Make the function that an image, its arguments and the options describe.

    Raises :class:`UsageError` for a value that cannot be right, :class:`TypeError` for an option
    that does not exist.
    """
    name = image_name(image)
    function = Function(name=name, image=image, command=words(command, name="args"))
    return override(function, options) if options else function


def override(function: Function, options: Options) -> Function:
    """Return a function with these options in place of its own; env and labels are merged.

    Raises as :func:`build_function` does.
    """
    for name in options:
        if name not in Options.__annotations__:
            known = Options.__annotations__
            raise TypeError(f"there is no option {name!r}{nearest(name, known)}")
    given = cast("dict[str, Any]", options)
    fields: dict[str, Any] = {
        name: parse(given[name]) for name, parse in FIELDS.items() if name in given
    }
    if "env" in given or "env_file" in given:
        found = variables(given.get("env", {}), files=given.get("env_file", ()))
        fields["env"] = {**function.env, **found}
    if "labels" in given:
        fields["labels"] = {**function.labels, **labels(given["labels"])}
    if "mounts" in given or "tmpfs" in given:
        fields["mounts"] = (
            *function.mounts,
            *mounts(given.get("mounts", ()), tmpfs=given.get("tmpfs", ())),
        )
    limits = {field: parse(given[key]) for key, (field, parse) in LIMITS.items() if key in given}
    if limits:
        fields["limits"] = dataclasses.replace(function.limits, **limits)
    return dataclasses.replace(function, **fields)
