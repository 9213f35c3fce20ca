"""A container with the manners of a process: :mod:`subprocess` and :mod:`asyncio.subprocess`."""

from __future__ import annotations

from wherry.process.ends import Reader, Writer
from wherry.process.process import Process
from wherry.process.targets import DEVNULL, PIPE, STDOUT, Source, Target

__all__ = ["DEVNULL", "PIPE", "STDOUT", "Process", "Reader", "Source", "Target", "Writer"]
