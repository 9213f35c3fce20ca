"""The columns of ``docker ps -a``, as the docker command of Docker 20.10 prints them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_COMMAND_WIDTH = 20
_ID = 12
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n",
            "\r": "\\r", "\t": "\\t", "\v": "\\v"}  # fmt: skip


class Published(NamedTuple):
    """One port of a container in a list, in the order in which the command sorts them."""

    container: int
    address: str
    """Empty where it is not published."""
    host: int
    protocol: str


def age(seconds: float) -> str:
    """Say how long ago something was: ``2 minutes ago``."""
    return f"{_duration(seconds)} ago"


def _duration(seconds: float) -> str:
    whole, minutes = int(seconds), int(seconds / 60)
    hours = int(seconds / 3600 + 0.5)
    table = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < 60, f"{whole} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 14, f"{hours // 24} days"),
        (hours < 24 * 60, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    )
    years = int(seconds / 3600) // 24 // 365
    return next((text for fits, text in table if fits), f"{years} years")


def command(text: str) -> str:
    """Return a command cut to 20 columns and quoted as Go quotes: ``"sh -c 'sleep 1000…"``."""
    return f'"{"".join(map(_escaped, _cut(text)))}"'


def _cut(text: str) -> str:
    if len(text) <= _COMMAND_WIDTH and text.isascii():
        return text
    width, kept = 0, 0
    for letter in text:
        width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        kept += width < _COMMAND_WIDTH
    return text if width <= _COMMAND_WIDTH else f"{text[:kept]}…"


def _escaped(letter: str) -> str:
    if (known := _ESCAPES.get(letter)) is not None:
        return known
    if letter.isprintable():
        return letter
    number = ord(letter)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def image(name: str, image_id: str) -> str:
    """Return an image's short name: without its digest, and without Docker Hub's."""
    if not name:
        return "<no image>"
    if (short := short_id(image_id)) == short_id(name):
        return short
    if name.startswith("sha256:"):
        return name
    return name.partition("@")[0].removeprefix("docker.io/").removeprefix("library/")


def short_id(id_: str) -> str:
    """Return the first 12 digits of an id."""
    return id_.removeprefix("sha256:")[:_ID]


def ports(found: Iterable[Published]) -> str:
    """Return the ports, in ranges where they follow each other: ``0.0.0.0:80->80/tcp, 90/tcp``."""
    groups: dict[str, list[int]] = {}
    done: list[str] = []
    mapped: list[str] = []
    for port in sorted(found):
        if port.address and port.host != port.container:
            where = f"{port.address}:{port.host}"
            mapped.append(f"{where}->{port.container}/{port.protocol}")
            continue
        key = f"{port.address}/{port.protocol}" if port.address else port.protocol
        group = groups.get(key)
        if group is None:
            groups[key] = [port.container, port.container]
        elif port.container == group[1] + 1:
            group[1] = port.container
        else:
            done.append(_range(key, *group))
            groups[key] = [port.container, port.container]
    return ", ".join([*done, *(_range(key, *group) for key, group in groups.items()), *mapped])


def _range(key: str, first: int, last: int) -> str:
    address, slash, protocol = key.rpartition("/")
    numbers = f"{first}-{last}" if last != first else str(first)
    return f"{address}:{numbers}->{numbers}/{protocol}" if slash else f"{numbers}/{protocol}"


def names(found: Iterable[str]) -> str:
    """Return the container's names, without those that links give it."""
    plain = [name.removeprefix("/") for name in found]
    return ",".join(name for name in plain if "/" not in name)


def row(
    *,
    id: str,  # noqa: A002 - the engine's word
    image_name: str,
    image_id: str,
    words: str,
    created: float,
    status: str,
    published: Iterable[Published],
    aliases: Iterable[str],
    now: float,
) -> Mapping[str, str]:
    """Return what stands below each title, with the titles in lower case."""
    return {
        "container id": short_id(id),
        "image": image(image_name, image_id),
        "command": command(words),
        "created": age(now - created),
        "status": status,
        "ports": ports(published),
        "names": names(aliases),
    }
