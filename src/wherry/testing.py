"""For the tests of programs that use wherry: an engine without containers.

async def shout(call: Call) -> None:
    async for chunk in call.stdin:
        await call.stdout.write(chunk.upper())

client = AsyncClient(MemoryEngine({"shout": shout}))
assert await client.run("shout", input="hi") == "HI"
"""

from __future__ import annotations

from wherry.engines.memory import Call, MemoryContainer, MemoryEngine, Program

__all__ = ["Call", "MemoryContainer", "MemoryEngine", "Program"]
