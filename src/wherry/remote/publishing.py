"""Ports and volumes of a request: what of the host a container gets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import cast

from wherry.remote import words
from wherry.remote.faults import Malformed
from wherry.remote.model import Port, Protocols, Volume

_HOST = re.compile(
    r"(?:(?P<address>[0-9.]+|\[[0-9a-fA-F:.]+\]):)?(?P<ports>[0-9]{0,5}(?:-[0-9]{1,5})?)"
)
_INSIDE = re.compile(r"(?P<ports>[0-9]{1,5}(?:-[0-9]{1,5})?)(?:/(?P<protocol>tcp|udp|sctp))?")
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", re.ASCII)
_MOST = 1024


def ports(value: object, *, name: str = "ports") -> tuple[Port, ...]:
    """Read ``ports[HOST]=CONTAINER``: ``8080`` and ``127.0.0.1:8080``, ``80`` and ``53/udp``.

    Ranges of equal length will do: ``8000-8010``. Host port 0, or none, is one that is free.
    """
    given = words.mapping(value, name=name)
    found = tuple(port for host, inside in given.items() for port in _ports(host, inside, name))
    if len(found) > _MOST:
        raise Malformed(f"{name}: {len(found)} ports; at most {_MOST} can be published")
    return found


def _ports(host: str, inside: object, name: str) -> Iterator[Port]:
    outer = _HOST.fullmatch(host)
    inner = _INSIDE.fullmatch(words.text_of(inside, name=f"{name}[{host}]"))
    if outer is None or inner is None:
        raise Malformed(
            f"{name}: {words.shown(f'{host}={inside}')} must be HOST=CONTAINER, as in "
            f"{name}[8080]=80 or {name}[127.0.0.1:53]=53/udp"
        )
    outside, within = _range(outer["ports"], name=name), _range(inner["ports"], name=name)
    if len(outside) != len(within) or within[0] == 0:
        raise Malformed(f"{name}: {words.shown(f'{host}={inside}')} are not as many ports")
    for one, other in zip(outside, within, strict=True):
        yield Port(
            host=one,
            container=other,
            protocol=cast("Protocols", inner["protocol"] or "tcp"),
            address=_address(outer["address"] or "", name=name),
        )


def _range(text: str, *, name: str) -> range:
    first, dash, last = text.partition("-")
    found = range(int(first or 0), int(last if dash else first or 0) + 1)
    if not found or found[-1] > 65535 or len(found) > _MOST:
        raise Malformed(f"{name}: {text!r} must be ports from 0 to 65535")
    return found


def _address(text: str, *, name: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]"))) if text else ""
    except ValueError as error:
        raise Malformed(f"{name}: {text!r} is no IP address") from error


def volumes(value: object, *, name: str = "volumes") -> tuple[Volume, ...]:
    """Read ``volumes[SOURCE]=TARGET``: an absolute path or a volume, and a path inside.

    ``TARGET:ro`` is only read.
    """
    given = words.mapping(value, name=name)
    return tuple(_volume(source, target, name) for source, target in given.items())


def _volume(source: str, target: object, name: str) -> Volume:
    inside, _, mode = words.text_of(target, name=f"{name}[{source}]").partition(":")
    words.text_of(source, name=name)
    usable = source.startswith("/") or _VOLUME.fullmatch(source)
    if ":" in source or not usable or not inside.startswith("/") or mode not in ("", "ro", "rw"):
        raise Malformed(
            f"{name}: {words.shown(f'{source}={target}')} must be an absolute path or a volume's "
            f"name, and an absolute path inside, as in {name}[/tmp/data]=/data or …=/data:ro"
        )
    return Volume(source=source, target=inside, read_only=mode == "ro")
