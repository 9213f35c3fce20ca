"""What a message asks for, parsed once: nothing of one message is ever seen by another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from wherry.errors import UsageError
from wherry.images.reference import Reference
from wherry.models import Mount
from wherry.triggers.amqp.reading import Malformed, Members, read_object

OPTIONS = frozenset(
    {"Name", "Entrypoint", "Attach", "Remove", "Time", "Volumes", "Force", "Env", "Mounts",
     "Network"}
)  # fmt: skip
"""What ``Options`` may hold; the last three are ours, and a policy's to allow."""
_STREAMS = frozenset({"STDIN", "STDOUT", "STDERR"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
NETWORKS = ("none", "private", "host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run an image."""

    image: str
    command: tuple[str, ...] = ()
    name: str = ""
    """Of the container; empty: one is made."""
    entrypoint: tuple[str, ...] | None = None
    attach: frozenset[str] = frozenset()
    """Of ``STDIN``, ``STDOUT``, ``STDERR``."""
    remove: bool = False
    volumes: bool = False
    force: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    network: str = "none"
    input: bytes = field(default=b"", repr=False)
    options: frozenset[str] = frozenset()
    """The names of the options that are there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop a container."""

    container: str
    time: int = 10
    """Seconds until it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Remove a container."""

    container: str
    volumes: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoke:
    """Call a deployed function."""

    function: str
    input: bytes = field(default=b"", repr=False)


Message = Run | Stop | Remove | Invoke


def parse(body: bytes) -> Message:
    """Read a message; raises :class:`Malformed` that names the member and what would be right."""
    given = read_object(body)
    if given.has("Function"):
        if given.has("Dockercmd"):
            raise Malformed("the message has both Function and Dockercmd; send one of them")
        return Invoke(function=_filled(given, "Function"), input=_input(given))
    command = given.text("Dockercmd")
    options = given.members("Options")
    if unknown := options.unknown(OPTIONS):
        raise Malformed(f"Options.{unknown[0]}: there is no such option here")
    match command:
        case "run":
            return _run(given, options)
        case "stop":
            time = options.whole("Time", usual=10, most=3600)
            return Stop(container=_container(given), time=time)
        case "remove":
            return Remove(
                container=_container(given),
                volumes=options.truth("Volumes"),
                force=options.truth("Force"),
            )
    raise Malformed(f"unsupported operation: {command!r:.80} must be run, stop or remove")


def _run(given: Members, options: Members) -> Run:
    image = _filled(given, "Image")
    try:
        Reference.parse(image)
    except UsageError as error:
        raise Malformed(f"Image: {error}") from error
    name = options.text("Name")
    if name and not _NAME.fullmatch(name):
        raise options.wrong("Name", "letters, digits, '_', '.' and '-'")
    attach = frozenset(each.upper() for each in options.texts("Attach"))
    if attach - _STREAMS:
        raise options.wrong("Attach", "a list of STDIN, STDOUT, STDERR")
    return Run(
        image=image,
        command=given.texts("Cmd"),
        name=name,
        entrypoint=_entrypoint(options),
        attach=attach,
        remove=options.truth("Remove"),
        volumes=options.truth("Volumes"),
        force=options.truth("Force"),
        env=_env(options),
        mounts=_mounts(options),
        network=_network(options),
        input=_input(given),
        options=frozenset(each for each in OPTIONS if options.has(each)),
    )


def _filled(given: Members, name: str) -> str:
    if not (value := given.text(name)):
        raise Malformed(f"{given.name(name)}: it is missing")
    return value


def _container(given: Members) -> str:
    name = _filled(given, "Container")
    if not _NAME.fullmatch(name):
        raise given.wrong("Container", "a name or an id")
    return name


def _entrypoint(options: Members) -> tuple[str, ...] | None:
    value = options.value("Entrypoint")
    words = (options.text("Entrypoint"),) if isinstance(value, str) else options.texts("Entrypoint")
    return words if any(words) else None


def _env(options: Members) -> dict[str, str]:
    """Return the environment; what is wrong with it is said without a value, a secret perhaps."""
    value = options.value("Env")
    if value is None:
        value = {}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        pairs = [each.partition("=")[::2] for each in value]
    elif isinstance(value, dict) and all(isinstance(each, str | None) for each in value.values()):
        pairs = [(name, each or "") for name, each in value.items()]
    else:
        raise Malformed("Options.Env: it must be an object of texts, or a list of NAME=value")
    for name, each in pairs:
        if not name or "=" in name or "\0" in name:
            raise Malformed(f"Options.Env: {name!r} is no name of a variable")
        options.sound("Env", name + each)
    return dict(pairs)


def _mounts(options: Members) -> tuple[Mount, ...]:
    value = options.value("Mounts")
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise options.wrong("Mounts", "a list of objects with Source, Target and ReadOnly")
    found = []
    for item in value:
        members = Members(item, "Options.Mounts")
        source, target = _filled(members, "Source"), _filled(members, "Target")
        read_only = True if not members.has("ReadOnly") else members.truth("ReadOnly")
        for name, path in (("Source", source), ("Target", target)):
            if not path.startswith("/"):
                raise members.wrong(name, "an absolute path")
        found.append(Mount(source=source, target=target, read_only=read_only))
    return tuple(found)


def _network(options: Members) -> str:
    name = options.text("Network") or "none"
    if name not in NETWORKS:
        raise options.wrong("Network", "none, private or host")
    return name


def _input(given: Members) -> bytes:
    """Return what is fed to stdin: a text as it is, anything else as JSON."""
    value = given.value("Input")
    if value is None:
        return b""
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise Malformed("Input: it holds half of a surrogate pair") from error
    return json.dumps(value).encode()
