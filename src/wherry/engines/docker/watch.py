"""What an engine's image names mean today, known without asking for each call."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.failures import Refused, failing
from wherry.engines.docker.lines import json_lines
from wherry.errors import EngineError, ImageNotFound

if TYPE_CHECKING:
    from wherry.engines.docker.client import DockerClient, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineImage:
    """What an image says of the program to run."""

    id: str
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]

    @classmethod
    def parse(cls, found: dict[str, Any]) -> EngineImage:
        """Read ``GET /images/NAME/json``; what is not set is null, or left out."""
        config = found.get("Config") or {}
        return cls(
            id=found["Id"],
            entrypoint=tuple(config.get("Entrypoint") or ()),
            cmd=tuple(config.get("Cmd") or ()),
        )


class ImageWatch:
    """Follows the engine's events while any name is watched, and looks again at each of them.

    So a name that is given to another image is noticed after the time an event takes. When the
    stream of events is cut, no name is known any more.
    """

    def __init__(self, client: DockerClient) -> None:
        self._client = client
        self._watched: Counter[str] = Counter()
        self._known: dict[str, str] = {}
        self._following: asyncio.Task[None] | None = None
        self._begun = asyncio.Lock()

    def id(self, name: str) -> str | None:
        """Return the id of the image that has this name now, None when that is not known."""
        return self._known.get(name)

    @asynccontextmanager
    async def watching(self, name: str) -> AsyncIterator[EngineImage]:
        """Watch a name inside of the block; raises ImageNotFound when no image has it."""
        self._watched[name] += 1
        try:
            async with self._begun:
                await self._follow()
            image = await self._look(name)
            if image is None:
                raise ImageNotFound(f"engine {self._client.address} has no image {name!r}")
            yield image
        finally:
            self._watched[name] -= 1
            if not self._watched[name]:
                del self._watched[name]
                self._known.pop(name, None)
            if not self._watched:
                await self._stop()

    async def _follow(self) -> None:
        """Return when the stream of events has begun: what is looked at then cannot get old."""
        if self._following is not None and not self._following.done():
            return
        query = {"filters": json.dumps({"type": ["image"]})}
        request = await self._client.request("GET", "/events", query=query)
        response = await self._client.send(request)
        self._following = asyncio.create_task(self._read(response))

    async def _read(self, response: Response) -> None:
        try:
            with suppress(EngineError), failing("events", address=self._client.address):
                async for _ in json_lines(response.stream()):
                    for name in tuple(self._watched):
                        await self._look(name)
        finally:
            self._known.clear()
            self._client.release(response.connection)

    async def _look(self, name: str) -> EngineImage | None:
        try:
            found = await self._client.call("GET", f"/images/{name}/json")
        except Refused as error:
            if error.status != 404:
                raise
            self._known.pop(name, None)
            return None
        image = EngineImage.parse(found)
        if self._watched[name]:
            self._known[name] = image.id
        return image

    async def _stop(self) -> None:
        if (task := self._following) is not None:
            self._following = None
            task.cancel()
            await asyncio.wait([task])
