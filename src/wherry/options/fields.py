"""The options that stand for one field each, and how each is read."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, get_args

from wherry.errors import UsageError
from wherry.models import Collect, File, Network, PullPolicy, Ready, Secret
from wherry.names import nearest
from wherry.units import parse_duration, parse_size

StrPath = str | PathLike[str]
Parse = Callable[[Any], Any]


def image_name(image: str) -> str:
    """Return what a function is called by default: the last part of its image's name."""
    if not isinstance(image, str) or not image:
        raise UsageError(f"image: {image!r} is no name of an image")
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0] or image


def words(given: Sequence[str], *, name: str) -> tuple[str, ...]:
    """Return arguments as a tuple; a single text is refused rather than cut into letters."""
    if isinstance(given, str | bytes):
        raise UsageError(f"{name}: {given!r} is one text; write a list, such as [{given!r}]")
    for word in given:
        if not isinstance(word, str):
            raise UsageError(f"{name}: {word!r} must be text, not {type(word).__name__}")
        if "\0" in word:
            raise UsageError(f"{name}: {word!r} holds a NUL character, which none can")
    return tuple(given)


def _text(given: object, *, name: str) -> str:
    if not isinstance(given, str) or not given or "\0" in given:
        raise UsageError(f"{name}: {given!r} must be text")
    return given


def _one_of(given: object, *, name: str, known: tuple[str, ...]) -> str:
    if given not in known:
        raise UsageError(f"{name}: there is no {given!r}{nearest(str(given), known)}")
    return str(given)


def _whole(given: object, *, name: str) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise UsageError(f"{name}: {given!r} must be a whole number from 1")
    return given


def _truth(given: object, *, name: str) -> bool:
    if not isinstance(given, bool):
        raise UsageError(f"{name}: {given!r} must be True or False")
    return given


def _cpus(given: object) -> float:
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1e6:
        return float(given)
    raise UsageError(f"cpus: {given!r} must be a number above 0, such as 1.5")


def _size(given: Any, *, name: str) -> int:  # noqa: ANN401 - parse_size says what is wrong
    size = parse_size(given, name=name)
    if size == 0:
        raise UsageError(f"{name}: 0 leaves nothing; leave it out for the engine's default")
    return size


def _timeout(given: Any) -> float:  # noqa: ANN401 - parse_duration says what is wrong
    seconds = parse_duration(given, name="timeout")
    if seconds == 0:
        raise UsageError("timeout: 0 leaves no time; leave it out for no limit")
    return seconds


def _ready(given: object) -> Ready:
    if isinstance(given, Ready):
        return given
    count = _whole(given, name="ready")
    return Ready(min=count, max=max(count, Ready().max))


def _user(given: object) -> str:
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return str(given)
    return _text(given, name="user")


def _signal(given: object) -> str:
    """Return a signal's name, whether it came as one, without SIG, or as a number."""
    try:
        if isinstance(given, int):
            return signal.Signals(given).name
        if isinstance(given, str) and given.isdecimal():
            return signal.Signals(int(given)).name
        return signal.Signals[f"SIG{str(given).upper().removeprefix('SIG')}"].name
    except (KeyError, ValueError):
        names = [known.name for known in signal.Signals]
        raise UsageError(
            f"stop_signal: there is no {given!r}{nearest(str(given), names)}"
        ) from None


def _entrypoint(given: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,) if given else ()
    return words(given, name="entrypoint")


def _absolute(path: StrPath) -> str:
    return str(Path(path).expanduser().absolute())


def _secrets(given: Mapping[str, Any] | Iterable[Secret]) -> tuple[Secret, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    return tuple(_secret(name, value) for name, value in given.items())


def _secret(name: str, value: object) -> Secret:
    match value:
        case Secret():
            return dataclasses.replace(value, name=name)
        case bytes():
            return Secret(name=name, value=value)
        case str() | PathLike():
            return Secret(name=name, path=_absolute(value))
    raise UsageError(f"secrets: {name!r} must be a path, or the value as bytes")


def _files(given: Mapping[str, Any] | Iterable[File]) -> tuple[File, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    return tuple(_file(target, content) for target, content in given.items())


def _file(target: str, content: object) -> File:
    match content:
        case File():
            return dataclasses.replace(content, target=target)
        case bytes():
            return File(target=target, data=content)
        case str() | PathLike():
            return File(target=target, source=_absolute(content))
    raise UsageError(f"files: {target!r} must be given a path, or its content as bytes")


def _collect(given: Mapping[str, Any] | Iterable[Collect]) -> tuple[Collect, ...]:
    if not isinstance(given, Mapping):
        return tuple(given)
    return tuple(_collected(path, to) for path, to in given.items())


def _collected(path: str, to: object) -> Collect:
    match to:
        case Collect():
            return dataclasses.replace(to, path=path)
        case str() | PathLike():
            return Collect(path=path, to=_absolute(to))
    raise UsageError(f"collect: {path!r} must be given a directory of this host")


FIELDS: dict[str, Parse] = {
    "name": partial(_text, name="name"),
    "entrypoint": _entrypoint,
    "user": _user,
    "workdir": partial(_text, name="workdir"),
    "hostname": partial(_text, name="hostname"),
    "network": partial(_one_of, name="network", known=get_args(Network)),
    "secrets": _secrets,
    "files": _files,
    "collect": _collect,
    "read_only": partial(_truth, name="read_only"),
    "stop_signal": _signal,
    "pull": partial(_one_of, name="pull", known=get_args(PullPolicy)),
    "platform": partial(_text, name="platform"),
    "concurrency": partial(_whole, name="concurrency"),
    "ready": _ready,
}
"""Option to the way it is read; the field of :class:`Function` has the option's name."""

LIMITS: dict[str, tuple[str, Parse]] = {
    "memory": ("memory", partial(_size, name="memory")),
    "cpus": ("cpus", _cpus),
    "pids": ("pids", partial(_whole, name="pids")),
    "tmp": ("tmp", partial(_size, name="tmp")),
    "timeout": ("timeout", _timeout),
    "stdout_limit": ("stdout", partial(_size, name="stdout_limit")),
}
"""Option to the field of :class:`Limits`, and the way it is read."""
