"""The synchronous client: threads, Ctrl-C, forks, the end of the process."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import wherry
from wherry.errors import EngineError, FunctionError, UsageError
from wherry.models import Exit, Function, Output
from wherry.process import PIPE
from wherry.sync import Client
from wherry.testing import Call, MemoryEngine

UPPER = Function(name="upper", image="busybox", command=("tr", "a-z", "A-Z"))


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def client(engine: MemoryEngine) -> Iterator[Client]:
    with Client(engine, functions=[UPPER]) as client:
        yield client


def test_the_synchronous_client_has_the_names_of_the_asynchronous_one() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")} - {"close", "aclose"}

    for_the_server = {"call", "can_keep_ready", "define_ready", "forget", "pool_stats"}
    for_the_server |= {"session", "usage"}
    for_web_apps = {"asynchronous", "portal"}
    shared = names(wherry.AsyncClient) - for_the_server
    assert names(Client) - for_web_apps == shared


def test_calls_return_what_the_asynchronous_ones_do(client: Client) -> None:
    assert client.run("busybox", ["cat"], input="hi") == "hi"
    assert client.run("busybox", ["cat"], input="hi", text=False) == b"hi"
    assert client.invoke("upper", input="hi").text == "HI"
    assert dict(client.functions) == {"upper": UPPER}
    client.prepare("busybox")
    with pytest.raises(FunctionError, match="status 1"):
        client.run("busybox", ["false"])
    with pytest.raises(UsageError, match="did you mean 'upper'"):
        client.invoke("uper")


def test_a_live_container_is_iterated_and_killed(client: Client, engine: MemoryEngine) -> None:
    with client.start("busybox", ["sh", "-c", "echo a; sleep 9"]) as container:
        assert list(engine.running) == [container.id]
        events = iter(container)
        assert next(events) == Output("stdout", b"a\n")
        container.kill()
        assert list(events) == [Exit(137, "killed")]
    assert engine.running == {}


def test_leaving_a_live_container_by_any_way_ends_it(client: Client, engine: MemoryEngine) -> None:
    with client.start("busybox", ["sleep", "9"]):
        pass
    assert engine.running == {}
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught, client.start("busybox", ["sleep", "9"]):
        raise error
    assert caught.value is error
    assert engine.running == {}
    with (
        pytest.raises(wherry.ProgramNotFound, match="nope"),
        client.start("busybox", ["nope"]),
    ):
        raise AssertionError("a container that cannot exist")


def test_a_process_has_buffered_files(client: Client) -> None:
    with client.popen(
        "busybox", ["sh", "-c", "cat; echo e >&2; exit 4"], stdin=PIPE, stdout=PIPE, stderr=PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"one\ntwo\nrest")
        process.stdin.flush()
        assert process.stdout.readline() == b"one\n"
        assert process.poll() is process.returncode is None
        assert process.exit is None
        process.stdin.close()
        assert list(process.stdout) == [b"two\n", b"rest"]
        assert process.stderr.read() == b"e\n"
    assert process.returncode == process.wait() == process.poll() == 4
    assert process.exit == Exit(4)
    assert process.args == ("sh", "-c", "cat; echo e >&2; exit 4")
    with pytest.raises(UsageError, match="started before"):
        process.start()


def test_communicate_returns_also_what_was_read_ahead(client: Client) -> None:
    process = client.popen("busybox", ["cat"], stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"first\nsecond\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"first\n"
    process.stdin.write(b"unflushed ")
    assert process.communicate(b"third") == (b"second\nunflushed third", None)


def test_a_process_can_be_signalled(client: Client) -> None:
    process = client.popen("busybox", ["sleep", "9"])
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.01)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.01)
    process.terminate()
    assert process.wait() == 143
    process = client.popen("busybox", ["sleep", "9"])
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    process = client.popen("busybox", ["sleep", "9"])
    process.kill()
    process.kill()
    assert process.wait() == 137


def test_a_process_left_by_an_error_is_killed(client: Client, engine: MemoryEngine) -> None:
    with pytest.raises(LookupError), client.popen("busybox", ["sleep", "9"]) as process:
        raise LookupError
    assert process.exit == Exit(137, "killed")
    assert engine.running == {}


def test_a_process_that_nobody_holds_any_more_does_no_harm(client: Client) -> None:
    process = client.popen("busybox", ["cat"], stdin=PIPE, stdout=PIPE)
    assert process.stdin is not None
    process.stdin.write(b"never flushed")
    del process
    gc.collect()
    assert client.run("busybox", ["echo", "hi"]) == "hi\n"


def test_map_is_an_iterator_in_order(client: Client) -> None:
    results = client.map("upper", (f"x{number}" for number in range(9)), concurrency=3)
    assert [result.text for result in results] == [f"X{number}" for number in range(9)]
    shout = client.function("busybox", ["tr", "a-z", "A-Z"])
    assert shout("hi") == "HI"
    assert shout.invoke("hi").ok
    assert [result.text for result in shout.map(["a", "b"])] == ["A", "B"]
    assert [result.text for result in client.map(shout, ["a", "b"])] == ["A", "B"]


def test_leaving_a_map_early_ends_its_calls(engine: MemoryEngine) -> None:
    started = threading.Event()

    async def program(call: Call) -> None:
        if await call.stdin.read() == b"slow":
            started.set()
            await asyncio.Event().wait()

    engine.programs["mine"] = program
    with Client(engine) as client:
        for result in client.function("mine").map(["quick", "slow", "slow"]):
            assert result.ok
            assert started.wait(5)
            break
        gc.collect()
        deadline = time.monotonic() + 5
        while engine.running and time.monotonic() < deadline:
            time.sleep(0.01)
        assert engine.running == {}


def test_many_threads_call_at_one_time(client: Client) -> None:
    def call(number: int) -> str:
        return client.run("busybox", ["tr", "a-z", "A-Z"], input=f"call {number}")

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(call, range(100))) == [f"CALL {number}" for number in range(100)]


def test_ctrl_c_cancels_the_call_and_waits_for_its_clean_up() -> None:
    events: list[str] = []

    async def program(call: Call) -> None:
        main = threading.main_thread().ident
        assert main is not None
        threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT)).start()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            events.append("cleaned up")

    engine = MemoryEngine({"mine": program})
    with Client(engine) as client:
        with pytest.raises(KeyboardInterrupt):
            client.run("mine")
        assert events == ["cleaned up"]
        assert engine.running == {}
        with pytest.raises(KeyboardInterrupt), client.start("mine") as container:  # noqa: PT012
            for _ in container:
                raise AssertionError("an event that cannot be")
        assert engine.running == {}
        assert client.run("busybox", ["echo", "still here"]) == "still here\n"


def test_a_closed_client_refuses_calls(engine: MemoryEngine) -> None:
    client = Client(engine)
    assert client.run("busybox", ["echo", "hi"]) == "hi\n"
    client.close()
    client.close()
    with pytest.raises(UsageError, match="this client is closed"):
        client.run("busybox", ["true"])
    Client(MemoryEngine()).close()


def test_closing_ends_calls_of_other_threads_and_the_thread_itself(engine: MemoryEngine) -> None:
    client = Client(engine)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(client.run, "busybox", ["sleep", "9"]) for _ in range(3)]
        while len(engine.running) < 3:
            time.sleep(0.001)
        client.close()
        for call in calls:
            with pytest.raises(EngineError, match="closed"):
                call.result(5)
    assert engine.running == {}
    assert "wherry" not in {thread.name for thread in threading.enumerate()}


def test_closing_ends_blocks_and_processes_that_were_never_left(engine: MemoryEngine) -> None:
    client = Client(engine)
    block = client.start("busybox", ["sleep", "9"])
    block.__enter__()
    process = client.popen("busybox", ["sleep", "9"])
    client.close()
    assert engine.running == {}
    assert process.returncode == 137


def test_a_call_from_the_clients_own_loop_is_refused(client: Client) -> None:
    with pytest.raises(UsageError, match="own event loop"):
        list(client.map(UPPER, ["a"], progress=lambda *_: print(client.run("busybox", ["true"]))))


def test_an_interpreter_that_ends_with_work_in_hand_ends_in_time() -> None:
    script = """
        import asyncio, os, sys, threading
        os.environ["WHERRY_ENGINE"] = "memory"
        import wherry
        from wherry.sync import client
        from wherry.testing import MemoryEngine

        engine = MemoryEngine()
        client.connect = lambda spec: engine

        async def stubborn(call):
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.to_thread(print, "cleaned up", flush=True)

        engine.programs["stubborn"] = stubborn
        wherry.popen("stubborn")
        assert wherry.run("busybox", ["true"], input=sys.stdin) == ""
        assert wherry.run("busybox", ["true"], input=sys.stdin.buffer) == ""
        assert wherry.run("busybox", ["true"], input=iter(threading.Event().wait, 1)) == ""
        sys.exit(7)
    """
    reading, writing = os.pipe()  # a stdin that is silent and does not end
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb"):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    # Python 3.12.0 and 3.12.1 start no thread at all by then (cpython issue 113964).
    starts_threads = not (3, 12, 0) <= sys.version_info < (3, 12, 2)
    assert (done.returncode, done.stderr) == (7, "")
    assert done.stdout == ("cleaned up\n" if starts_threads else "")


def test_the_default_client_is_new_after_a_fork() -> None:
    script = """
        import os
        os.environ["WHERRY_ENGINE"] = "memory"
        import wherry

        client = wherry.from_env()
        assert client.run("busybox", ["echo", "hi"]) == wherry.run("busybox", ["echo", "hi"])
        sleeping = wherry.popen("busybox", ["sleep", "9"])
        child = os.fork()
        if child == 0:
            assert wherry.run("busybox", ["echo", "child"]) == "child\\n"
            try:
                client.run("busybox", ["true"])
            except wherry.UsageError as error:
                assert "before a fork" in str(error)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert sleeping.poll() is None
        assert wherry.run("busybox", ["echo", "parent"]) == "parent\\n"
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_call_costs_less_than_200_microseconds() -> None:
    async def nothing(call: Call) -> None:
        """Do nothing."""

    with Client(MemoryEngine({"nothing": nothing})) as client:
        client.run("nothing")

        def one_round() -> float:
            begun = time.process_time()
            for _ in range(100):
                client.run("nothing")
            return (time.process_time() - begun) / 100

        # CPU time of both threads, and the best round: the machine may be busy otherwise.
        assert min(one_round() for _ in range(10)) < 200e-6


def test_the_default_client_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from wherry.sync import default

    monkeypatch.setenv("WHERRY_ENGINE", "memory")
    default.close_default()
    try:
        assert wherry.run("busybox", ["echo", "hi"]) == "hi\n"
        assert default.default_client() is default.default_client()
        assert [r.text for r in wherry.map(UPPER, ["a"])] == ["A"]
        assert wherry.function("busybox", ["cat"])("x") == "x"
        with wherry.start("busybox", ["echo", "x"]) as container:
            assert list(container)[-1] == Exit(0)
        assert wherry.popen("busybox", ["true"]).wait() == 0
        assert wherry.invoke(UPPER, input="b").text == "B"
    finally:
        default.close_default()
    monkeypatch.setenv("WHERRY_ENGINE", "memry")
    with pytest.raises(UsageError, match="did you mean 'memory'"):
        wherry.from_env()
    assert os.environ["WHERRY_ENGINE"] == "memry"


def test_from_env_declares_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_ENGINE", "memory")
    with wherry.from_env(functions=[UPPER]) as client:
        assert client.invoke("upper", input="hi").text == "HI"
