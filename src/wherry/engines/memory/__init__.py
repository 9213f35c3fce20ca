"""An engine whose containers are coroutines: a fake with behaviour, for tests."""

from wherry.engines.memory.call import Call, Program
from wherry.engines.memory.container import MemoryContainer
from wherry.engines.memory.engine import MemoryEngine

__all__ = ["Call", "MemoryContainer", "MemoryEngine", "Program"]
