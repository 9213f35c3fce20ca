"""Bytes in and bytes out: every kind of input as one source, and a container's events collected.

A *source* is what an engine pulls stdin from: ``AsyncIterable[bytes]``. Its end is the end of
stdin, so end-of-file cannot be forgotten.
"""

from __future__ import annotations

from wherry.streams.ordering import in_order, reported
from wherry.streams.output import STDERR_TAIL, Collected, Decoder, Tail, collect
from wherry.streams.pulling import close, pulled
from wherry.streams.sources import NOTHING, Input, source

__all__ = [
    "NOTHING",
    "STDERR_TAIL",
    "Collected",
    "Decoder",
    "Input",
    "Tail",
    "close",
    "collect",
    "in_order",
    "pulled",
    "reported",
    "source",
]
