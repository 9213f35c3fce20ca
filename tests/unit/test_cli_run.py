"""`wherry run` on the memory engine: its streams, exits and errors, with nothing installed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from wherry.cli import main
from wherry.cli.ending import code_of, describe
from wherry.cli.signals import Signals
from wherry.cli.sinks import Sink, SinkClosed, SinkError
from wherry.errors import (
    EngineError,
    ProgramNotExecutable,
    ProgramNotFound,
    Unsupported,
    UsageError,
    WherryError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_ENGINE", "memory")


@contextmanager
def stdin_of(data: bytes, path: Path) -> Iterator[None]:
    path.write_bytes(data)
    kept = os.dup(0)
    fd = os.open(path, os.O_RDONLY)
    os.dup2(fd, 0)
    os.close(fd)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_stdin_goes_in_and_stdout_comes_out(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with stdin_of(b"hello\n", tmp_path / "in"):
        assert main(["run", "busybox", "tr", "a-z", "A-Z"]) == 0
    assert capfdbinary.readouterr().out == b"HELLO\n"


def test_the_exit_code_and_stderr_are_the_functions(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with stdin_of(b"", tmp_path / "in"):
        assert main(["run", "busybox", "sh", "-c", "echo err >&2; exit 3"]) == 3
    assert capfdbinary.readouterr() == (b"", b"err\n")


def test_json_is_one_object(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    with stdin_of(b"", tmp_path / "in"):
        assert main(["run", "--json", "busybox", "echo", "hi"]) == 0
    found = json.loads(capfdbinary.readouterr().out)
    assert (found["stdout"], found["exit_code"], found["reason"]) == ("hi\n", 0, "exited")


def test_an_unknown_image_is_our_failure(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with stdin_of(b"", tmp_path / "in"):
        assert main(["run", "nosuch"]) == 125
    assert b"wherry run: the memory engine has no image 'nosuch'" in capfdbinary.readouterr().err


def test_a_data_directory_is_for_the_local_engine(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["run", "--data-dir", str(tmp_path), "busybox", "true"]) == 2
    assert b"--data-dir" in capfdbinary.readouterr().err


@pytest.mark.parametrize("words", [["ps"], ["kill", "x"], ["reap"], ["image", "ls"], ["doctor"]])
def test_what_only_the_local_engine_has_says_so(
    words: list[str], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(words) == 2
    assert b"this is for the engine 'local', and not for 'memory'" in capfdbinary.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (Unsupported("x"), 2),
        (ProgramNotFound("x"), 127),
        (ProgramNotExecutable("x"), 126),
        (EngineError("x"), 125),
        (WherryError("x"), 125),
        (OSError(5, "Input/output error"), 125),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert code_of(error) == code


def test_errors_of_the_system_name_the_file() -> None:
    assert describe(FileNotFoundError(2, "No such file", "x/y")) == "x/y: No such file"
    assert describe(ValueError()) == "ValueError"


@contextmanager
def stdout_to(fd: int) -> Iterator[None]:
    kept = os.dup(1)
    os.dup2(fd, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


async def test_a_full_pipe_makes_the_writer_wait_and_not_the_loop() -> None:
    read, write = os.pipe()
    with stdout_to(write):
        sink = Sink("stdout")
        writing = asyncio.create_task(sink.write(bytes(1_000_000)))
        await asyncio.sleep(0.01)
        assert not writing.done()
        received = 0
        while received < 1_000_000:
            received += len(await asyncio.to_thread(os.read, read, 1 << 16))
        await writing
        assert os.get_blocking(1)
        sink.close()
    os.close(read)
    os.close(write)


async def test_a_reader_that_is_gone_is_told_apart_from_a_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    with stdout_to(write), pytest.raises(SinkClosed):
        await Sink("stdout").write(b"x")
    os.close(write)
    full = os.open("/dev/full", os.O_WRONLY)
    with stdout_to(full), pytest.raises(SinkError, match="No space left on device"):
        await Sink("stdout").write(b"x")
    os.close(full)


class Killed:
    """A container that only takes note of signals."""

    id = "x"

    def __init__(self) -> None:
        self.signals: list[int] = []

    async def kill(self, signal: int = signal.SIGKILL) -> None:
        self.signals.append(signal)


async def test_the_grace_time_is_enforced() -> None:
    container = Killed()

    async def call() -> None:
        signals = Signals(grace=0.02)
        async with signals.forwarded(container):  # type: ignore[arg-type]
            os.kill(os.getpid(), signal.SIGTERM)
            while len(container.signals) < 2:
                await asyncio.sleep(0.005)
        assert signals.ending == signal.SIGTERM

    await asyncio.create_task(call())
    assert container.signals == [signal.SIGTERM, signal.SIGKILL]


async def test_a_signal_before_there_is_a_container_cancels_the_start() -> None:
    received: list[int | None] = []

    async def start() -> None:
        signals = Signals()
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(5)
        finally:
            received.append(signals.ending)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(start())
    assert received == [signal.SIGTERM]
