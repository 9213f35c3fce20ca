"""How the threads of a server take turns."""

from __future__ import annotations

import sys

_TURN = 0.0002


def take_short_turns() -> None:
    """Let a thread that has waited for the disk go on soon, in this process.

    A message waits for several commits. With Python's own 5 ms each of their statements may have
    to wait so long for the event loop: a busy machine then takes twice as long for each.
    """
    sys.setswitchinterval(_TURN)
