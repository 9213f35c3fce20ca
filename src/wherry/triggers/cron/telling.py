"""That somebody could not be told."""

from __future__ import annotations


class NotTold(Exception):
    """One attempt failed; the message holds no address, password or token."""
