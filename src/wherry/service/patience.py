"""How long kept containers are waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take, in seconds."""

    start: float = 60.0
    """From the start of a container until its program accepts connections and is well."""
    stop: float = 10.0
    """From the signal that asks the program to stop to the kill."""
    drain: float = 30.0
    """For the requests that run when a container is replaced."""
    first_pause: float = 0.1
    """Before the first restart; twice as long before each one after it."""
    longest_pause: float = 30.0
    steady: float = 10.0
    """A container that was up for so long begins anew with the first pause."""
    turned_away: float = 2.0
    """A request waits for a restart that is nearer than this; otherwise it is answered at once."""
    between_checks: float = 10.0
    """From one health check of a program that runs to the next."""
