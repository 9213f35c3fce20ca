"""The client for callers that are not asynchronous: the same names, one thread behind them."""

from __future__ import annotations

from wherry.sync.client import Client, SyncFunction
from wherry.sync.live import LiveContainer
from wherry.sync.process import SyncProcess

__all__ = ["Client", "LiveContainer", "SyncFunction", "SyncProcess"]
