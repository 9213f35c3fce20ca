from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from wherry.client import AsyncClient
from wherry.errors import EngineError, FunctionError, ProgramNotFound, UsageError
from wherry.models import Exit, Function, Limits, Output
from wherry.process import PIPE
from wherry.testing import Call, MemoryEngine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UPPER = Function(name="upper", image="busybox", command=("tr", "a-z", "A-Z"))
FAIL = Function(name="fail", image="busybox", command=("sh", "-c", "echo o; echo e >&2; exit 3"))
ECHO = Function(name="say", image="busybox", entrypoint=("echo",), command=("-n",))


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
async def client(engine: MemoryEngine) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(engine, functions=[UPPER, FAIL, ECHO]) as client:
        yield client


async def test_run_returns_the_output_as_text_or_bytes(client: AsyncClient) -> None:
    assert await client.run("busybox", ["tr", "a-z", "A-Z"], input="hi") == "HI"
    assert await client.run("busybox", ["cat"], input="é", text=False) == "é".encode()
    assert await client.run("busybox", ["cat"], input=b"\xff") == "\ufffd"
    assert await client.run("busybox", ["echo", "hi"]) == "hi\n"


async def test_run_raises_what_the_function_did_wrong_with_all_its_output(
    client: AsyncClient,
) -> None:
    with pytest.raises(FunctionError) as caught:
        await client.run("busybox", FAIL.command)
    error = caught.value
    assert (error.exit_code, error.stdout, error.stderr) == (3, b"o\n", b"e\n")
    assert str(error) == (
        "Command 'sh -c 'echo o; echo e >&2; exit 3'' in image 'busybox' "
        "returned non-zero exit status 3: e"
    )
    with pytest.raises(FunctionError, match="ended by its timeout"):
        await client.run("busybox", ["sleep", "9"], timeout=0.01)
    with pytest.raises(FunctionError, match="more than its output limit"):
        await client.run("busybox", ["yes"], stdout_limit=10)


async def test_run_calls_a_function_too_and_options_change_that_one_call(
    client: AsyncClient,
) -> None:
    function = Function(name="f", image="busybox", command=("sh", "-c", "echo $A $B"))
    assert await client.run(function, env={"A": "1"}) == "1 \n"
    assert await client.run(function, env={"B": "2"}) == " 2\n"
    assert await client.run(ECHO, ["a", "b"]) == "a b"


async def test_the_arguments_of_a_call_follow_the_command(client: AsyncClient) -> None:
    result = await client.invoke("say", ["two", "words"])
    assert result.text == "two words"
    assert result.command == ("echo", "-n", "two", "words")


async def test_invoke_returns_the_result_whatever_the_exit_code(client: AsyncClient) -> None:
    result = await client.invoke("fail")
    assert (result.function, result.image, result.exit) == ("fail", "busybox", Exit(3))
    assert (result.stdout, result.stderr, result.stderr_truncated) == (b"o\n", b"e\n", False)
    assert not result.ok
    assert 0 < result.duration < 5
    assert (await client.invoke(UPPER, input=["a", b"b"])).text == "AB"


async def test_invoke_never_takes_a_name_for_an_image(client: AsyncClient) -> None:
    with pytest.raises(UsageError, match="no function 'busybox'; there is fail, say, upper"):
        await client.invoke("busybox")
    with pytest.raises(UsageError, match="no function 'uper'; did you mean 'upper'"):
        await client.invoke("uper")


async def test_the_environment_of_a_call_comes_on_top(client: AsyncClient) -> None:
    function = Function(name="f", image="busybox", command=("env",), env={"A": "1", "B": "2"})
    assert (await client.invoke(function, env={"B": "3"})).text == "A=1\nB=3\n"


async def test_functions_are_declared_once_and_cannot_be_changed_from_outside() -> None:
    with pytest.raises(UsageError, match="same name"):
        AsyncClient(MemoryEngine(), functions=[UPPER, UPPER])
    client = AsyncClient(MemoryEngine(), functions=[UPPER])
    assert dict(client.functions) == {"upper": UPPER}
    with pytest.raises(TypeError):
        client.functions["other"] = UPPER  # type: ignore[index]


async def test_wrong_options_and_arguments_are_refused_before_anything_starts(
    client: AsyncClient, engine: MemoryEngine
) -> None:
    with pytest.raises(TypeError, match="did you mean 'memory'"):
        await client.run("busybox", ["true"], memroy="1g")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="args: 'true' is one text"):
        await client.run("busybox", "true")
    with pytest.raises(UsageError, match="args: 'x' is one text"):
        await client.invoke("upper", "x")
    with pytest.raises(UsageError, match="input must be"):
        await client.run("busybox", ["cat"], input=3)  # type: ignore[call-overload]
    assert engine.prepared == []


async def test_start_yields_a_live_container(client: AsyncClient, engine: MemoryEngine) -> None:
    async with client.start("busybox", ["cat"], input="hi", timeout=9) as container:
        assert container.id in engine.running
        events = [event async for event in container]
    assert events == [Output("stdout", b"hi"), Exit(0)]
    assert engine.running == {}


async def test_popen_returns_a_process(client: AsyncClient) -> None:
    process = await client.popen("busybox", ["cat"], stdin=PIPE, stdout=PIPE)
    assert await process.communicate("hi") == (b"hi", None)
    with pytest.raises(ProgramNotFound, match="nope"):
        await client.popen("busybox", ["nope"])


async def test_closing_the_client_ends_its_processes(engine: MemoryEngine) -> None:
    client = AsyncClient(engine)
    process = await client.popen("busybox", ["sleep", "9"])
    over = await client.popen("busybox", ["true"])
    await over.wait()
    await client.aclose()
    assert process.exit == Exit(137, "killed")
    assert engine.running == {}
    await client.aclose()
    with pytest.raises(EngineError, match="closed"):
        await client.run("busybox", ["true"])


async def test_prepare_does_what_a_first_call_would_wait_for(
    client: AsyncClient, engine: MemoryEngine
) -> None:
    await client.prepare("busybox", memory="1g")
    await client.prepare(UPPER)
    assert engine.prepared == ["busybox", "busybox"]


async def test_a_function_can_be_called_like_one_of_pythons(client: AsyncClient) -> None:
    shout = client.function("busybox", ["tr", "a-z", "A-Z"], name="shout")
    assert await shout("hi") == "HI"
    assert (await shout.invoke("hi", env={"A": "1"})).function == "shout"
    say = client.function("busybox", ["echo", "-n"])
    assert await say(args=["a"]) == "a"
    with pytest.raises(FunctionError):
        await client.function("busybox", ["false"])()


async def test_map_yields_results_in_order_and_reports_progress(client: AsyncClient) -> None:
    seen: list[tuple[int, int | None]] = []
    results = client.map(
        "upper", ["a", b"b", ["c", "d"]], concurrency=2, progress=lambda *n: seen.append(n)
    )
    assert [result.text async for result in results] == ["A", "B", "CD"]
    assert seen == [(1, 3), (2, 3), (3, 3)]


async def test_map_takes_inputs_of_unknown_number(client: AsyncClient) -> None:
    seen: list[tuple[int, int | None]] = []

    async def inputs() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    shout = client.function("busybox", ["tr", "a-z", "A-Z"])
    results = shout.map(inputs(), progress=lambda *n: seen.append(n))
    assert [result.text async for result in results] == ["A", "B"]
    assert seen == [(1, None), (2, None)]
    assert [r.text async for r in client.map(shout, (c for c in "xy"))] == ["X", "Y"]
    assert [r.text async for r in client.map(UPPER, [])] == []


async def test_map_keeps_a_failed_result_in_its_place(client: AsyncClient) -> None:
    codes = [result.exit.code async for result in client.map("fail", [None, None])]
    assert codes == [3, 3]


async def test_map_never_has_more_calls_in_flight_than_allowed() -> None:
    now = most = 0

    async def counting(call: Call) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    client = AsyncClient(MemoryEngine({"count": counting}))
    counted = client.function("count")
    assert len([r async for r in counted.map([None] * 20, concurrency=3)]) == 20
    assert most == 3
    most = 0
    assert len([r async for r in counted.map([None] * 50)]) == 50
    assert most == 2 * (os.cpu_count() or 1)
    with pytest.raises(UsageError, match="inputs: 'abc' is one input"):
        client.map(counted, "abc")
    with pytest.raises(UsageError, match="concurrency: 0"):
        client.map(counted, [], concurrency=0)


async def test_leaving_a_map_early_ends_its_calls(engine: MemoryEngine) -> None:
    client = AsyncClient(engine)
    sleeping = Function(name="sleep", image="busybox", command=("sleep", "9"))
    results = client.map(sleeping, [None] * 9, concurrency=3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await anext(results)
    assert engine.running == {}
    assert len(asyncio.all_tasks()) == 1


async def test_a_failing_engine_ends_a_map(engine: MemoryEngine, client: AsyncClient) -> None:
    results = client.map("upper", ["a", "b", "c"], concurrency=1)
    assert (await anext(results)).text == "A"
    engine.fail("pulled the plug")
    with pytest.raises(EngineError, match="pulled the plug"):  # noqa: PT012
        while True:
            await anext(results)


async def test_concurrency_of_a_function_holds_across_all_ways_to_call_it() -> None:
    most = now = 0

    async def counting(call: Call) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1

    function = Function(name="f", image="count", concurrency=1, limits=Limits(timeout=5))
    async with AsyncClient(MemoryEngine({"count": counting}), functions=[function]) as client:
        await asyncio.gather(
            client.invoke("f"), client.run(function), client.invoke(function), client.run(function)
        )
    assert most == 1


async def test_a_function_of_a_client_that_is_passed_on_is_told_how_to_be_called() -> None:
    async with AsyncClient(MemoryEngine()) as client:
        shout = client.function("busybox", ["tr", "a-z", "A-Z"])
        for call in (client.invoke, client.run):
            with pytest.raises(UsageError, match=r"called by itself, as f\(…\)"):
                await call(shout)  # type: ignore[call-overload,arg-type]
        assert await shout("hi") == "HI"
