"""The signals that stop a server."""

from __future__ import annotations

import asyncio
import signal


class Stopping:
    """The signals that stop a server: the first lets calls end, the second ends them."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.at_once = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                loop.add_signal_handler(number, self.ask)

    def ask(self) -> None:
        """Stop, or stop at once when it was asked for before."""
        if self.asked.is_set():
            self.at_once.set()
        self.asked.set()
