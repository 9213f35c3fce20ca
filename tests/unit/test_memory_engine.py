"""What the memory engine adds to the contract: programs, applets, a small shell."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

from wherry import streams
from wherry.engines.memory.pipe import Pipe
from wherry.errors import EngineError, EngineUnavailable, ImageNotFound, Unsupported, UsageError
from wherry.models import CHUNK, Collect, Exit, File, Function, Invocation, Secret
from wherry.testing import Call, MemoryEngine, Program

if TYPE_CHECKING:
    from wherry.streams import Collected


def invocation(image: str, *argv: str, **fields: Any) -> Invocation:
    return Invocation(function=Function(name="f", image=image, command=argv, **fields))


async def run(
    *argv: str, engine: MemoryEngine | None = None, stdin: streams.Input = None, **fields: Any
) -> Collected:
    engine = engine or MemoryEngine()
    call = invocation("busybox", *argv, **fields)
    async with engine.start(call, streams.source(stdin)) as container:
        return await streams.collect(container)


async def program(body: Program, *, stdin: streams.Input = None, **fields: Any) -> Collected:
    engine = MemoryEngine({"mine": body})
    async with engine.start(invocation("mine", **fields), streams.source(stdin)) as container:
        return await streams.collect(container)


async def test_a_program_gets_its_command_line_and_environment() -> None:
    seen: list[Call] = []

    async def body(call: Call) -> None:
        seen.append(call)

    function = Function(
        name="f", image="mine", entrypoint=("e",), command=("c",), env={"A": "1", "B": "2"}
    )
    engine = MemoryEngine({"mine": body})
    call = Invocation(function=function, args=("a",), env={"B": "3"})
    async with engine.start(call, streams.NOTHING) as container:
        assert (await streams.collect(container)).exit == Exit(0)
    assert seen[0].argv == ("e", "c", "a")
    assert seen[0].env == {"A": "1", "B": "3"}
    assert seen[0].invocation is call


async def test_what_a_program_raises_ends_it_as_a_process() -> None:
    async def crash(call: Call) -> None:
        raise LookupError("oops")

    async def leave(call: Call) -> None:
        raise SystemExit(7)

    async def leave_with_words(call: Call) -> None:
        raise SystemExit("words")

    async def starve(call: Call) -> None:
        raise MemoryError

    async def minus_one(call: Call) -> int:
        return -1

    async def by_signal(call: Call) -> int:
        return 139

    result = await program(crash)
    assert result.exit == Exit(1)
    assert b"LookupError: oops" in result.stderr
    assert (await program(leave)).exit == Exit(7)
    assert (await program(leave_with_words)).exit == Exit(1)
    assert (await program(starve)).exit == Exit(137, "oom")
    assert (await program(minus_one)).exit == Exit(255)
    assert (await program(by_signal)).exit == Exit(139, "signal")


async def test_a_signal_without_a_trap_ends_the_program() -> None:
    engine = MemoryEngine()
    for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        async with engine.start(invocation("busybox", "sleep", "9"), streams.NOTHING) as container:
            await container.kill(signal.SIGCHLD)
            await container.kill(0)
            await container.kill(number)
            assert (await streams.collect(container)).exit == Exit(code, "killed")


async def test_an_error_of_the_source_that_nobody_read_is_raised_on_leaving() -> None:
    async def failing() -> Any:
        raise LookupError("mine")
        yield b""

    with pytest.raises(LookupError, match="mine"):
        async with MemoryEngine().start(invocation("busybox", "sleep", "9"), failing()):
            await asyncio.sleep(0.01)


async def test_an_unknown_image_is_named_with_those_there_are() -> None:
    engine = MemoryEngine({"mine": _nothing})
    with pytest.raises(ImageNotFound, match="no image 'yours'; it has busybox, mine"):
        await engine.prepare(Function(name="f", image="yours"))
    await engine.prepare(Function(name="f", image="mine"))
    assert engine.prepared == ["mine"]


async def _nothing(call: Call) -> None:
    """Do nothing."""


async def test_an_engine_that_failed_starts_nothing_more() -> None:
    engine = MemoryEngine()
    async with engine.start(invocation("busybox", "sleep", "9"), streams.NOTHING) as container:
        engine.fail("pulled the plug")
        with pytest.raises(EngineError, match="pulled the plug"):
            await streams.collect(container)
    with pytest.raises(EngineUnavailable, match="pulled the plug"):
        await run("true", engine=engine)


async def test_an_engine_without_streamed_stdin_says_so_before_it_starts() -> None:
    engine = MemoryEngine(streams_stdin=False)
    assert (await run("echo", "hi", engine=engine)).stdout == b"hi\n"
    with pytest.raises(Unsupported, match="stdin"):
        await run("cat", engine=engine, stdin="hi")
    assert engine.running == {}


async def test_what_needs_real_files_is_refused() -> None:
    with pytest.raises(Unsupported, match="collect"):
        await run("true", collect=(Collect(path="/a", to="/b"),))


def test_the_memory_engine_has_no_addresses() -> None:
    assert isinstance(MemoryEngine.connect("memory"), MemoryEngine)
    with pytest.raises(UsageError, match="memory:x"):
        MemoryEngine.connect("memory:x")


@pytest.mark.parametrize(
    ("argv", "stdin", "stdout"),
    [
        (("tr", "a-z", "A-Z"), "hé y", "HÉ Y".replace("É", "é")),
        (("tr", "abc", "x"), "abcd", "xxxd"),
        (("tr", "-", "_"), "a-b", "a_b"),
        (("echo", "-n", "a", "b"), None, "a b"),
        (("cat", "-"), "in", "in"),
        (("cat", "/run/secrets/s", "/f"), None, "hushfile"),
        (("head", "-c", "3"), "abcdef", "abc"),
        (("head", "-c", "3", "/f"), None, "fil"),
        (("wc", "-c"), "12345", "5\n"),
        (("md5sum",), "", "d41d8cd98f00b204e9800998ecf8427e  -\n"),
        (("env",), None, "A=1\n"),
        (("pwd",), None, "/srv\n"),
        (("hostname",), None, "box\n"),
        (("busybox", "echo", "hi"), None, "hi\n"),
        (("/bin/echo", "hi"), None, "hi\n"),
        (("sh", "-c", "echo $A ${A}x '$A' \"$A;b\" \\$A"), None, "1 1x $A 1;b $A\n"),
        (("sh", "-c", "false; echo $?; echo -n a\necho b"), None, "1\nab\n"),
    ],
)
async def test_applets_do_what_the_real_ones_do(
    argv: tuple[str, ...], stdin: str | None, stdout: str
) -> None:
    result = await run(
        *argv,
        stdin=stdin,
        env={"A": "1"},
        workdir="/srv",
        hostname="box",
        secrets=(Secret(name="s", value=b"hush"),),
        files=(File(target="/f", data=b"file"),),
    )
    assert (result.stdout.decode(), result.stderr, result.exit) == (stdout, b"", Exit(0))


@pytest.mark.parametrize(
    ("argv", "code", "stderr"),
    [
        (("cat", "/none"), 1, "can't open '/none'"),
        (("head", "-n", "1"), 1, "only -c"),
        (("head", "-c", "1", "/none"), 1, "/none"),
        (("tr", "a"), 1, "only two sets"),
        (("wc", "-l"), 1, "only -c"),
        (("sh",), 2, "only -c SCRIPT"),
        (("sh", "-c", "echo a | cat"), 2, "does not know |"),
        (("sh", "-c", "echo `id`"), 2, "does not know `"),
        (("sh", "-c", "nope"), 127, "nope: not found"),
        (("sh", "-c", "exit 300"), 44, ""),
    ],
)
async def test_applets_refuse_what_they_do_not_know(
    argv: tuple[str, ...], code: int, stderr: str
) -> None:
    result = await run(*argv)
    assert result.exit == Exit(code)
    assert stderr in result.stderr.decode()
    assert result.stdout == b""


async def test_busybox_without_arguments_lists_its_applets() -> None:
    assert b"md5sum" in (await run()).stdout


async def test_a_full_pipe_makes_its_writer_wait() -> None:
    pipe = Pipe(limit=4)
    writing = asyncio.create_task(pipe.write(b"123456"))
    await asyncio.sleep(0)
    assert not writing.done()
    assert await pipe.read(2) == b"12"
    assert await pipe.read(100) == b"34"
    await writing
    pipe.close()
    assert await pipe.read() == b"56"
    assert pipe.exhausted


async def test_a_pipe_without_a_reader_fails_its_writer() -> None:
    pipe = Pipe(limit=4)
    writing = asyncio.create_task(pipe.write(bytes(CHUNK)))
    await asyncio.sleep(0)
    pipe.discard()
    with pytest.raises(BrokenPipeError, match="nobody reads"):
        await writing
    pipe.close()
    assert await pipe.read(1) == b""
