"""A program of this machine as a job, where the operator allows that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING

from wherry import config
from wherry.errors import ProgramNotExecutable, ProgramNotFound, StartError
from wherry.models import CHUNK, Exit, Output

if TYPE_CHECKING:
    from wherry.models import StreamName
    from wherry.triggers.cron.model import Definition
    from wherry.triggers.cron.outputs import Write

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL")
_DRAIN = 2.0
"""Seconds for what a program has written before its end."""


async def perform_here(definition: Definition, write: Write) -> Exit:
    """Run a program and what it starts; a cancellation kills all of it.

    Raises :class:`StartError` when it cannot be started.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write((definition.input or "").encode())
        stdin.seek(0)
        process = _started(definition, stdin)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        reading = asyncio.gather(
            _read(process.stdout, "stdout", write=write),
            _read(process.stderr, "stderr", write=write),
        )
        try:
            await _ended(process.pid)
            _kill(process.pid)  # what it has left behind would keep the pipes open
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(reading), _DRAIN)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
    finally:
        _kill(process.pid)
        code = process.wait()  # at once, or after SIGKILL
    return Exit(code) if code >= 0 else Exit(128 - code, "signal")


def _started(definition: Definition, stdin: IO[bytes]) -> subprocess.Popen[bytes]:
    command = definition.command or []
    try:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=definition.workdir,
            env={**config.inherited(*_INHERITED), **(definition.env or {})},
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ProgramNotFound(f"command: there is no {error.filename!r} here") from error
    except PermissionError as error:
        raise ProgramNotExecutable(f"command: {error.filename!r} cannot be executed") from error
    except (OSError, ValueError) as error:
        raise StartError(f"command: {command[:1]} cannot be started: {error}") from error


async def _ended(pid: int) -> None:
    """Wait until a child has ended; it stays to be waited for."""
    descriptor = os.pidfd_open(pid)
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _read(pipe: IO[bytes], name: StreamName, *, write: Write) -> None:
    stream = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
    try:
        while data := await stream.read(CHUNK):
            write(Output(name, data))
    finally:
        transport.close()


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
