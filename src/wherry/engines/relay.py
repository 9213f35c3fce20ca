"""The relay: a static program that makes a server in a container reachable without a network.

It is compiled when wherry is installed, where a C compiler is found. What is said through its
door is described in ``relay.c``.
"""

from __future__ import annotations

import os
from pathlib import Path

RELAY = Path(__file__).parent / "local" / "native" / "relay"
FUNKER = RELAY.with_name("funker")
"""Lets a program that was made for Funker be called through stdin and stdout (``funker.c``)."""
UP = b"U"
"""What the relay says when the program's port accepts connections."""
ACCEPTED = b"A"
"""What it says of each connection that it takes; anything else: the program has ended."""


def has_relay() -> bool:
    """Whether the relay was compiled."""
    return os.access(RELAY, os.X_OK)


def has_funker() -> bool:
    """Whether the program around Funker's was compiled."""
    return os.access(FUNKER, os.X_OK)
