"""How long a client is waited for, and how much of it is taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The limits of one front, that is of one tenant. Seconds and bytes."""

    head: float = 20.0
    """For a whole head, from its first byte; also for the first byte of a new connection."""
    head_bytes: int = 64 * 1024
    headers: int = 100
    """Headers of one request."""
    idle: float = 300.0
    """Between two requests of one connection."""
    body: float = 60.0
    """For a whole body that is read at once; a body that is streamed may take any time…"""
    rest: float = 300.0
    """…but the engine may hold something locked for it: for each next piece."""
    bodies: int = 32 * 1024 * 1024
    """For all bodies together that are read at once, and held."""
    answer: float = 60.0
    """For a client to take a whole answer; a stream may be taken at any pace."""
    linger: float = 1.0
    """For a client to stop sending after an answer that did not need the rest of its body."""
    linger_bytes: int = 256 * 1024
    connections: int = 1024
    """At once. An idle one gives way to a new one; without an idle one the new one is refused."""
    requests: int = 128
    """At work at once, so that no tenant keeps the engine busy alone; the others wait."""
    streams: int = 768
    """Streams and hijacked connections at once."""
