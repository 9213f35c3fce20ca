"""What a program finds around it, with either launcher: as an ordinary process would."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.harness import silent
from tests.support.local_calls import Calls, calls_on, function_of
from tests.support.local_harness import of_this_engine

from wherry import streams
from wherry.errors import ProgramNotExecutable, ProgramNotFound, UsageError
from wherry.models import Exit, File, Invocation

ARGUMENTS = 'for word; do printf "<%s>" "$word"; done'


@pytest.fixture(params=["compiled launcher", "Python launcher"])
async def calls(local_data: Path, request: pytest.FixtureRequest) -> AsyncIterator[Calls]:
    compiled = request.param == "compiled launcher"
    async with calls_on(local_data, compiled_launcher=compiled) as calls:
        yield calls


async def test_streams_and_codes_are_the_programs_own(calls: Calls) -> None:
    result = await calls.sh("cat; echo err >&2; exit 3", stdin=streams.source("in and "))
    assert (result.stdout, result.stderr, result.exit) == (b"in and ", b"err\n", Exit(3))


async def test_a_program_that_is_not_there_is_named(calls: Calls) -> None:
    with pytest.raises(ProgramNotFound, match="no program 'no-such'"):
        await calls.run("no-such")
    with pytest.raises(ProgramNotFound, match="no program '/no/such'"):
        await calls.run("/no/such")


async def test_a_program_that_cannot_be_executed_is_named(calls: Calls) -> None:
    with pytest.raises(ProgramNotExecutable, match=r"'/etc/passwd' cannot be .* Permission denied"):
        await calls.run("/etc/passwd")
    with pytest.raises(ProgramNotExecutable, match="'/etc' cannot be executed"):
        await calls.run("/etc")
    files = (File(target="/lost", data=b"#!/no/interpreter\n", mode=0o755),)
    with pytest.raises(ProgramNotFound, match="'/lost', or what it names to run it with"):
        await calls.run("/lost", files=files)


async def test_the_environment_is_the_calls_and_nothing_else(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLERS_OWN", "secret")
    result = await calls.run("env", env={"A": "1"}, hostname="ferry")
    assert sorted(result.stdout.decode().splitlines()) == [
        "A=1",
        "HOME=/root",
        "HOSTNAME=ferry",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/",
    ]


async def test_only_the_three_streams_are_open(calls: Calls) -> None:
    with many_open_files():
        lines = await calls.lines("ls /proc/self/fd")
    assert lines == ["0", "1", "2", "3"]  # the last is the directory that is listed


async def test_umask_limits_and_signals_are_as_anybody_expects(calls: Calls) -> None:
    lines = await calls.lines("umask; ulimit -c; ulimit -n")
    assert lines[:2] == ["0022", "0"]
    assert 1024 <= int(lines[2]) <= 65536
    await check_signals(calls)


async def check_signals(calls: Calls) -> None:
    """Check that no signal is blocked or ignored, but for two that are glibc's own."""
    result = await calls.run("grep", "-E", "Sig(Blk|Ign)", "/proc/self/status")
    blocked, ignored = (int(word, 16) for word in result.stdout.split()[1::2])
    assert (blocked, ignored & ~(0b11 << 31)) == (0, 0)


async def test_signals_that_the_caller_ignores_or_blocks_are_not_the_programs(
    calls: Calls,
) -> None:
    odd = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in odd}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGINT})
    try:
        await check_signals(calls)
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            assert (await calls.sh(f"kill -{number} $$; sleep 1")).exit == Exit(
                128 + number, "signal"
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            signal.signal(number, handler)


async def test_a_closed_pipe_ends_its_writer(calls: Calls) -> None:
    async with asyncio.timeout(20):
        assert await calls.lines("yes | head -n 1") == ["y"]


async def test_there_is_no_terminal(calls: Calls) -> None:
    script = (
        "cat < /dev/tty; tty; ps -o pid,sid,tty | awk '$1 == $$' ; cut -d ' ' -f 7 /proc/$$/stat"
    )
    result = await calls.sh(script)
    assert b"/dev/tty" in result.stderr
    assert result.stdout == b"not a tty\n0\n"


async def test_the_program_leads_a_session_and_is_no_init(calls: Calls) -> None:
    (line,) = await calls.lines("echo $$ $(cut -d ' ' -f 4 /proc/$$/stat)")
    pid, parent = map(int, line.split())
    assert (pid, parent) == (2, 1)


async def test_what_the_program_leaves_behind_is_reaped_inside(calls: Calls) -> None:
    script = """
        i=0; while [ $i -lt 20 ]; do (sleep 0.02 &) ; i=$((i+1)); done
        sleep 0.5; ps -o stat | grep -c Z"""
    assert (await calls.sh(script)).stdout == b"0\n"


async def test_stdin_that_nobody_gives_is_at_its_end(calls: Calls) -> None:
    assert await calls.lines("cat; echo end; readlink /proc/$$/fd/0 | cut -c 1-5") == [
        "end",
        "pipe:",
    ]


async def test_words_that_are_no_utf_8_pass_through_unchanged(calls: Calls) -> None:
    odd = os.fsdecode(bytes(range(1, 256)))
    result = await calls.run("sh", "-c", ARGUMENTS, "sh", odd, "", "ß", env={"ODD": odd})
    assert result.stdout == b"<" + bytes(range(1, 256)) + b"><>" + "<ß>".encode()
    result = await calls.run("sh", "-c", 'printf %s "$ODD"', env={"ODD": odd})
    assert result.stdout == bytes(range(1, 256))


async def test_a_mebibyte_of_environment_reaches_the_program(calls: Calls) -> None:
    env = {f"VARIABLE_{number}": "x" * 100_000 for number in range(10)}
    assert await calls.lines("env | wc -c", env=env) == [str(10 * 100_012 + env_size())]


def env_size() -> int:
    from wherry.engines.local.plan import PATH

    rest = ["HOME=/root", "HOSTNAME=123456789012", f"PATH={PATH}", "PWD=/", "SHLVL=1"]
    return sum(len(line) + 1 for line in rest)


async def test_ten_thousand_words_and_variables_reach_the_program(calls: Calls) -> None:
    words = [str(number) for number in range(10_000)]
    result = await calls.run("sh", "-c", "echo $# $1 ${10000}", "sh", *words)
    assert result.stdout == b"10000 0 9999\n"
    env = {f"V{number}": str(number) for number in range(10_000)}
    script = "env | grep -c ^V; echo $V9999 $HOSTNAME; hostname"
    lines = await calls.lines(script, env=env, hostname="ferry")
    assert lines == ["10000", "9999 ferry", "ferry"]
    invocation = Invocation(function=function_of("sh", "-c", "exec cat", *words))
    async with calls.engine.start(invocation, silent()) as container:
        assert {found.marker.id for found in of_this_engine(calls.engine)} == {invocation.id}
        await container.kill()
        assert (await streams.collect(container)).exit == Exit(137, "killed")


@pytest.mark.parametrize("size", [(1, 200_000), (30, 100_000)])
async def test_more_arguments_than_the_kernel_takes_are_an_error_that_says_so(
    calls: Calls, size: tuple[int, int]
) -> None:
    number, length = size
    with pytest.raises(ProgramNotExecutable, match=r"'echo' .*Argument list too long"):
        await calls.run("echo", *["x" * length] * number)
    env = {f"V{index}": "x" * length for index in range(number)}
    with pytest.raises(ProgramNotExecutable, match=r"'echo' .*Argument list too long"):
        await calls.run("echo", env=env)


async def test_a_nul_byte_in_a_word_is_refused(calls: Calls) -> None:
    with pytest.raises(UsageError, match="arguments must not contain NUL"):
        await calls.run("echo", "a\0b")
    with pytest.raises(UsageError, match="env 'A'"):
        await calls.run("echo", env={"A": "a\0b"})
    for name in ("", "A=B", "A\0"):
        with pytest.raises(UsageError, match="must have a name without '='"):
            await calls.run("echo", env={name: ""})


@pytest.mark.parametrize("delay", [0, 0.002, 0.004, 0.006, 0.01])
async def test_a_signal_is_never_lost_however_early_it_comes(calls: Calls, delay: float) -> None:
    async with calls.start("sleep", "60") as container:
        await asyncio.sleep(delay)
        await container.kill(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert (await streams.collect(container)).exit == Exit(143, "killed")
    async with calls.start("echo", "unharmed") as container:
        await asyncio.sleep(delay)
        await container.kill(signal.SIGWINCH)
        assert (await streams.collect(container)).exit == Exit(0)


async def test_what_looks_like_the_engines_own_words_is_still_the_programs(calls: Calls) -> None:
    words = "bwrap: execvp sh: No such file or directory"
    result = await calls.sh(f"echo '{words}' >&2; exit 1")
    assert (result.stderr.decode(), result.exit) == (f"{words}\n", Exit(1))
    async with calls.start("sh", "-c", f"echo '{words}' >&2; echo x; exec sleep 60") as container:
        events = aiter(container)
        await anext(events)
        await container.kill()
        result = await streams.collect(container)
    assert (result.stderr.decode(), result.exit) == (f"{words}\n", Exit(137, "killed"))


@contextmanager
def many_open_files() -> Iterator[None]:
    """Hold 500 descriptors open that any child inherits."""
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(500)]
    for fd in fds:
        os.set_inheritable(fd, True)
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)
