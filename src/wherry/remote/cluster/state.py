"""The file that each node writes: ``{"host": …, "load": …}`` and what newer readers want."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from wherry.remote.cluster.seal import Seal, matches

LARGEST = 4096
"""Bytes of a state file; a larger one is somebody else's."""
_UNSAFE = re.compile(r"[^A-Za-z0-9.]+")


class BadState(ValueError):
    """What was read is no node's state; the message says why, and holds nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """What one node tells of itself."""

    host: str
    """Where it answers: ``http://IP:PORT``. Not checked here."""
    load: float
    """Fraction of its processors in use times fraction of its memory in use."""
    time: float | None = None
    """Seconds since the epoch by its own clock; None for a writer that tells only the above."""
    key: str | None = None
    """What requests to it are sealed with; None for a node that cannot check them."""
    proof: str | None = None
    """That who wrote this knows the cluster's secret."""

    def is_sealed(self, seal: Seal) -> bool:
        """Whether it was written by a node with the same secret."""
        return self.proof is not None and matches(self.proof, seal.of_state(_sealed(self)))


def name_of(host: str) -> str:
    """Return the name of the file for a host: always the same, so a restart leaves no ghost."""
    return f"{_UNSAFE.sub('-', host.partition('://')[2]).strip('-')}.json"


def written(state: NodeState, seal: Seal | None) -> bytes:
    """Return the content of a node's file, sealed if there is a seal.

    Without a secret of the nodes' own there is none: the seal would be one of the token, which
    whoever reads the file could try to guess.
    """
    fields = {
        "host": state.host,
        "load": state.load,
        "time": state.time,
        "key": state.key,
    }
    if seal is not None:
        fields["proof"] = seal.of_state(_sealed(state))
    return json.dumps(fields).encode() + b"\n"


def read(data: bytes) -> NodeState:
    """Return what a file says; raises :class:`BadState`. Keys that are not known are ignored."""
    if len(data) > LARGEST:
        raise BadState("it is too large")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadState("it is no JSON") from error
    if not isinstance(fields, dict):
        raise BadState("it is no JSON object")
    host, load = fields.get("host"), _number(fields.get("load"))
    if not isinstance(host, str) or not host.isascii():
        raise BadState("'host' must be text such as http://10.0.0.1:1717")
    if load is None or load < 0:
        raise BadState("'load' must be a number from 0")
    return NodeState(
        host=host,
        load=load,
        time=_number(fields.get("time")),
        key=_text(fields.get("key")),
        proof=_text(fields.get("proof")),
    )


def number_in(text: str) -> float | None:
    """Return the number that a text is; None for anything else, such as ``nan``."""
    try:
        return _number(float(text))
    except ValueError:
        return None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.isascii() else None


def _sealed(state: NodeState) -> tuple[str, ...]:
    return (state.host, repr(float(state.load)), repr(state.time), state.key or "")
