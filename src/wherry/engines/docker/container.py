"""A running container of a Docker engine: its events, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal as signals
from collections import deque
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from wherry.engines.docker.complaint import Complaint
from wherry.engines.docker.failures import TRANSPORT_ERRORS, Refused, describe, failing
from wherry.engines.docker.frames import Frames
from wherry.engines.feeding import Feeder
from wherry.errors import EngineError
from wherry.models import CHUNK, Exit, Output, exit_from_code

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin
    from wherry.engines.docker.client import DockerClient, Response
    from wherry.engines.docker.connection import Connection
    from wherry.engines.docker.duplex import Duplex

_SIGKILLED = 128 + signals.SIGKILL
_OUTPUT_AFTER_EXIT = 30.0
"""Seconds the engine may stay silent on an output stream after the container has ended."""
_ANSWER_BYTES = 64 * 1024
_NOT_RUNNING = "can only kill running containers"  # Podman's words, with status 500
_DRAINED = 64 * 1024 * 1024
_PACE_BYTES = 1024 * 1024
_PACE_SECONDS = 0.01


class DockerContainer:
    """Implements :class:`wherry.engines.base.Container`."""

    def __init__(
        self,
        id: str,  # noqa: A002
        client: DockerClient,
        *,
        name: str,
        output: tuple[Duplex, bytes],
        stdin: Duplex | None,
        waiting: Response,
    ) -> None:
        self.id = id
        self.name = name
        self.finished = False
        self._client = client
        self._output, self._carried = output
        self._stdin = stdin
        self._waiting: Connection | None = waiting.connection
        self._wait = asyncio.create_task(self._wait_for_end(waiting.connection))
        self._wait.add_done_callback(self._watch_output)
        self._frames = Frames()
        self._complaint = Complaint()
        self._program: str | None = None
        """What the gate was told to run, when it was."""
        self._wrote = False
        self._feeder: Feeder | None = None
        self._failure: EngineError | None = None
        self._reading_since: float | None = None
        self._sent: set[int] = set()
        self._events: deque[Event] = deque()
        """What one read of 64 KiB held; after a kill, what was still on its way."""
        self._reading = asyncio.Lock()

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
            try:
                if self._events or self.finished or await self._pull():
                    return
            except EngineError:
                self._raise_failure()
                raise
            self._raise_failure()
            self._frames.finish()
            ended = await self._exit()
            if held := self._complaint.release():
                self._events.append(Output("stderr", held))
            self._events.append(ended)
            self.finished = True

    async def _pull(self) -> bool:
        """Read once; False at the end of the output."""
        data = await self._read()
        outputs = (self._keep(output) for output in self._frames.feed(data))
        self._events.extend(output for output in outputs if output)
        return bool(data)

    def _keep(self, output: Output) -> Output | None:
        if output.stream == "stdout":
            self._wrote = True
            return output
        kept = self._complaint.hold(output.data)
        return Output("stderr", kept) if kept else None

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
        code = await self._wait
        self._raise_failure()
        known = await self._inspect()
        program = known["Path"] if self._program is None else self._program
        if not self._wrote and (error := self._complaint.error(code, program=program)):
            raise error
        if code - 128 in self._sent:
            return Exit(code, "killed")
        if code == _SIGKILLED and known["State"].get("OOMKilled"):
            return Exit(code, "oom")
        return exit_from_code(code)

    async def _inspect(self) -> dict[str, Any]:
        """Ask on the connection that told the exit code.

        When it answers, the engine has lived through the end of the output, which otherwise
        looks the same whether the container or the engine's process has ended.
        """
        connection, self._waiting = self._waiting, None
        if connection is None or not connection.renew():
            raise EngineError(f"engine {self._address}: its connection was cut at the very end")
        path = f"/containers/{self.name}/json"
        answer = await self._client.call("GET", path, connection=connection)
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

    async def call(self, frame: bytes, *, program: str) -> None:
        """Tell the gate that waits on stdin what to become."""
        self._program, self._complaint = program, Complaint(of_gate=True)
        if not await self._write(frame):
            raise self._failure or EngineError(
                f"engine {self._address}: the container that was ready for call {self.id} "
                "ended before it could start"
            )

    # ---- stdin and signals ---------------------------------------------------------------

    def feed(self, source: Stdin) -> None:
        """Start to feed the program from its source."""
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

    async def _source_failed(self) -> None:
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
        path = f"/containers/{self.name}/kill"
        try:
            await self._client.call("POST", path, query={"signal": int(signal)})
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
        try:
            if self._feeder is not None:
                await self._feeder.stop()
        finally:
            await asyncio.wait([self._wait])
            if self._waiting is not None:
                self._client.release(self._waiting)
            for connection in connections:
                await connection.wait_closed()
