"""A running container of a Docker engine: its events, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal as signals
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.complaint import Complaint, not_executed
from wherry.engines.docker.failures import TRANSPORT_ERRORS, Refused, describe, failing
from wherry.engines.docker.frames import Frames
from wherry.engines.docker.lastwords import LastWords, without
from wherry.engines.feeding import Feeder
from wherry.errors import EngineError
from wherry.models import CHUNK, Exit, Output, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin
    from wherry.engines.docker.client import DockerClient, Response
    from wherry.engines.docker.connection import Connection
    from wherry.engines.docker.deaths import Death
    from wherry.engines.docker.duplex import Duplex
    from wherry.engines.docker.lastwords import Ending

_SIGKILLED = 128 + signals.SIGKILL
_OOM_PAUSES = (0.02, 0.05, 0.1, 0.2)
_OUTPUT_AFTER_EXIT = 30.0
"""Seconds the engine may stay silent on an output stream after the container has ended."""
_ANSWER_BYTES = 64 * 1024
_NOT_RUNNING = "can only kill running containers"  # Podman's words, with status 500
_DRAINED = 64 * 1024 * 1024
_PACE_BYTES = 1024 * 1024
_PACE_SECONDS = 0.01
_HELD_SECONDS = 0.05
"""How long output that may be the gate's last words waits for the rest of them."""


class DockerContainer:
    """Implements :class:`wherry.engines.base.Container`."""

    def __init__(
        self,
        id: str,  # noqa: A002
        client: DockerClient,
        *,
        name: str,
        path: str,
        output: tuple[Duplex, bytes],
        stdin: Duplex | None,
        waiting: Response,
        death: Death | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self._path = path
        self.finished = False
        self.has_ended_early = False
        """Whether its end is known before the engine knows it."""
        self._client = client
        self._output, self._carried = output
        self._stdin = stdin
        self._death = death
        self._waiting: Connection | None = waiting.connection
        self._wait = asyncio.create_task(self._wait_for_end(waiting.connection))
        self._wait.add_done_callback(self._watch_output)
        self._frames = Frames()
        self._complaint = Complaint()
        self._program = ""
        self._words: LastWords | None = None
        """What the gate says in the end, when it was told to run the program."""
        self._started = asyncio.Event()
        self._wrote = False
        self._feeder: Feeder | None = None
        self._failure: EngineError | None = None
        self._reading_since: float | None = None
        self._sent: set[int] = set()
        self._events: deque[Event] = deque()
        """What one read of 64 KiB held; after a kill, what was still on its way."""
        self._reading = asyncio.Lock()
        self._ahead: asyncio.Task[bytes] | None = None
        """A read under way that nobody waits for now."""

    # ---- events --------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while not self._events:
            if self.finished:
                raise StopAsyncIteration
            await self._receive()
        return self._events.popleft()

    async def _receive(self) -> None:
        """Add to the events: what was written, or the end."""
        async with self._reading:
            if self._events or self.finished:
                return
            try:
                more = self._ending is None and await self._pull()
                ending = self._ending
            except EngineError:
                self._raise_failure()
                raise
            if more and ending is None:
                return
            self._raise_failure()
            self._frames.finish()
            if ending is None:
                ended = await self._exit()
            elif ending.kind == "errno":
                raise not_executed(self._program, os.strerror(ending.value))
            else:
                ended = exit_from_code(ending.value)
                self.has_ended_early = True
            if held := self._complaint.release():
                self._events.append(Output("stderr", held))
            self._events.append(ended)
            self.finished = True

    @property
    def _ending(self) -> Ending | None:
        return None if self._words is None else self._words.ending

    async def _pull(self) -> bool:
        """Read once; False at the end of the output."""
        data = await self._read_or_release()
        if data is None:
            return True
        outputs = without(self._words, self._frames.feed(data))
        self._events.extend(kept for output in outputs if (kept := self._keep(output)))
        return bool(data)

    def _keep(self, output: Output) -> Output | None:
        if self._words is not None:
            return output
        if output.stream == "stdout":
            self._wrote = True
            return output
        kept = self._complaint.hold(output.data)
        return Output("stderr", kept) if kept else None

    async def _read_or_release(self) -> bytes | None:
        """Read; None when nothing came, and what was held for it was given on instead."""
        held = self._words is not None and self._words.holds
        if self._ahead is None and not held:
            return await self._read()
        ahead = self._ahead = self._ahead or asyncio.create_task(self._read())
        await asyncio.wait([ahead], timeout=_HELD_SECONDS if held else None)
        if not ahead.done():
            assert self._words
            self._events.extend(self._words.release())
            return None
        self._ahead = None
        return ahead.result()

    async def _read(self) -> bytes:
        if self._carried:
            data, self._carried = self._carried, b""
            return data
        self._reading_since = asyncio.get_running_loop().time()
        try:
            with failing(f"reading the output of container {self.id}", address=self._address):
                return await self._output.read()
        finally:
            self._reading_since = None

    def _raise_failure(self) -> None:
        """Raise what went wrong, a source's error first: we killed the container for it."""
        if error := self.take_source_error():
            raise error
        if self._failure is not None:
            raise self._failure

    async def _exit(self) -> Exit:
        if self._death is not None and not self._complaint.holds:
            code = await self._death.told_before(self._wait)
            self._raise_failure()
            if code is not None and code < 128:
                self.has_ended_early = True
                return Exit(code)
        code = await self._wait
        self._raise_failure()
        known = await self._inspect()
        self._check_start(code, known)
        if code - 128 in self._sent:
            return Exit(code, "killed")
        if code == _SIGKILLED and await self._was_oom(known):
            return Exit(code, "oom")
        return exit_from_code(code)

    async def _was_oom(self, known: dict[str, Any]) -> bool:
        """Whether memory was the end; a busy engine learns it a moment after the end itself."""
        for pause in _OOM_PAUSES if known["HostConfig"].get("Memory") else ():
            if known["State"].get("OOMKilled"):
                return True
            await asyncio.sleep(pause)
            with contextlib.suppress(EngineError):  # somebody may have removed it
                known = await self._client.call("GET", f"{self._path}/json")
        return bool(known["State"].get("OOMKilled"))

    def _check_start(self, code: int, known: dict[str, Any]) -> None:
        """Raise what the init complained of; a gate's code below 128 never comes alone."""
        if self._words is not None:
            if code < 128:
                raise EngineError(
                    f"engine {self._address}: the output of container {self.id} was cut: "
                    f"its end is missing, although it ended with exit code {code}"
                )
            self._events.extend(self._words.release())
        elif not self._wrote and (error := self._complaint.error(code, program=known["Path"])):
            raise error

    async def _inspect(self) -> dict[str, Any]:
        # When it answers on the connection that told the exit code, the engine has lived through
        # the end of the output; otherwise it could be that of the engine's process.
        connection, self._waiting = self._waiting, None
        if connection is None or not connection.renew():
            raise EngineError(f"engine {self._address}: its connection was cut at the very end")
        answer = await self._client.call("GET", f"{self._path}/json", connection=connection)
        known: dict[str, Any] = answer
        return known

    async def _wait_for_end(self, connection: Connection) -> int:
        operation = f"waiting for the end of container {self.id}"
        with failing(operation, address=self._address):
            body = await connection.read(_ANSWER_BYTES)
        answer = json.loads(body)
        if error := answer.get("Error"):
            raise EngineError(f"engine {self._address}: {operation} failed: {error}")
        return int(answer["StatusCode"])

    # ---- an engine that fails ------------------------------------------------------------

    def _watch_output(self, wait: asyncio.Task[int]) -> None:
        """After the end, or without hope to hear of it, the output must end soon too."""
        if wait.cancelled():
            return
        error = wait.exception()
        if error is not None:
            failure = error if isinstance(error, EngineError) else EngineError(str(error))
            self._fail(failure)
            return
        asyncio.get_running_loop().call_later(_OUTPUT_AFTER_EXIT, self._check_output)

    def _check_output(self) -> None:
        since, loop = self._reading_since, asyncio.get_running_loop()
        if self.finished or self._output.is_stale():
            return
        if since is not None and loop.time() - since >= _OUTPUT_AFTER_EXIT:
            self._fail(
                EngineError(
                    f"engine {self._address}: container {self.id} has ended, but its output "
                    f"stream has been silent without an end for {_OUTPUT_AFTER_EXIT:.0f} s"
                )
            )
            return
        loop.call_later(_OUTPUT_AFTER_EXIT, self._check_output)

    def _fail(self, error: EngineError) -> None:
        self._failure = self._failure or error
        self._output.close()

    @property
    def _address(self) -> object:
        return self._client.address

    # ---- before its call -----------------------------------------------------------------

    def is_connected(self) -> bool:
        """Whether it has not ended, and nothing between it and us has."""
        connections = [self._output, self._stdin] if self._stdin else [self._output]
        return not self._wait.done() and not any(each.is_stale() for each in connections)

    async def ended(self) -> None:
        """Wait until it has ended, or will not be heard of any more."""
        await asyncio.wait([self._wait])

    async def call(self, frame: bytes, *, program: str, secret: bytes) -> None:
        """Tell the gate that waits on stdin what to run; ``secret`` is part of the frame."""
        self._program, self._words = program, LastWords(secret)
        if not await self._write(frame):
            raise self._failure or EngineError(
                f"engine {self._address}: the container that was ready for call {self.id} "
                "ended before it could start"
            )

    # ---- stdin and signals ---------------------------------------------------------------

    def feed(self, source: Stdin) -> None:
        """Start to feed the program from its source; it may take what comes when it starts."""
        if self._stdin is None:
            return
        self._feeder = Feeder(
            source, write=self._write, end=self._end_stdin, failed=self._source_failed
        )

    def take_source_error(self) -> BaseException | None:
        """Return what the stdin source raised, unless somebody has been told already."""
        if self._feeder is None:
            return None
        error, self._feeder.error = self._feeder.error, None
        return error

    async def _write(self, data: bytes) -> bool:
        assert self._stdin
        try:
            await self._stdin.write(data)
        except ConnectionError:
            return False  # the program or the engine is gone; the output says which
        except TRANSPORT_ERRORS as error:
            # The program would take what it got until now for everything.
            reason = f"sending the input of container {self.id} failed: {describe(error)}"
            self._fail(EngineError(f"engine {self._address}: {reason}"))
            return False
        return True

    async def _end_stdin(self) -> None:
        assert self._stdin
        with contextlib.suppress(*TRANSPORT_ERRORS):
            await self._stdin.end()

    def begun(self) -> None:
        """Note that the program was started: until then, nothing can be killed."""
        self._started.set()

    async def _source_failed(self) -> None:
        await self._started.wait()
        try:
            await self.kill()
        except EngineError as error:
            self._fail(error)

    async def kill(self, signal: int = signals.SIGKILL) -> None:
        """Send a signal to the program. Harmless if it has already exited."""
        if self.finished or self._wait.done():
            return
        self._sent.add(signal)
        if signal != signals.SIGKILL:
            await self._signal(signal)
            return
        # The engine answers when the container has ended, and that only when somebody has read
        # what it wrote: a program that is dead leaves a few MiB on its way at most.
        draining = asyncio.create_task(self._drain())
        try:
            await self._signal(signal)
        finally:
            draining.cancel()
            await asyncio.wait([draining])

    async def _signal(self, signal: int) -> None:
        query = {"signal": int(signal)}
        try:
            await self._client.call("POST", f"{self._path}/kill", query=query)
        except Refused as error:
            has_exited = error.status in (404, 409) or _NOT_RUNNING in error.reason
            if not has_exited:
                raise

    async def _drain(self) -> None:
        """Keep what is on its way, at a pace: until it is dead, the program goes on writing."""
        for _ in range(_DRAINED // _PACE_BYTES):
            await asyncio.sleep(_PACE_SECONDS)
            for _ in range(_PACE_BYTES // CHUNK):
                async with self._reading:
                    try:
                        if self.finished or not await self._pull():
                            return
                    except EngineError as error:
                        self._failure = self._failure or error
                        return

    # ---- the end -------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop feeding and drop the connections; the container itself is removed elsewhere."""
        connections = [self._output, self._stdin] if self._stdin else [self._output]
        for connection in connections:
            connection.close()
        self._wait.cancel()
        if self._death is not None:
            self._death.forget()
        if self._ahead is not None:
            self._ahead.cancel()
            await asyncio.gather(self._ahead, return_exceptions=True)
        try:
            if self._feeder is not None:
                await self._feeder.stop()
        finally:
            await asyncio.wait([self._wait])
            if self._waiting is not None:
                self._client.release(self._waiting)
            for connection in connections:
                await connection.wait_closed()
