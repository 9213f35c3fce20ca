"""A request and its answer at once: order, backpressure, departures, and nothing left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.exchanging import exchanging
from tests.support.functions import deployed
from tests.support.memory_gateway import memory_gateway

from wherry.models import CHUNK
from wherry.service.live import CallerLeft
from wherry.triggers.http.parts import GatewayOptions
from wherry.web.duplex import DEPARTURE, HOLD_BACK, AnswerCut

if TYPE_CHECKING:
    from wherry.testing import Call

CAT = deployed("cat", "cat", stream=True)
HELD_CAT = deployed("cat", "cat")
SLEEP = deployed("sleep", "sleep", "1000")
YES = deployed("yes", "yes", stream=True)


async def test_each_piece_comes_back_before_the_next_one_is_sent() -> None:
    async with memory_gateway(CAT) as it, exchanging(it.app, "POST /function/cat") as client:
        sent = b""
        for word in (b"one ", b"two ", b"three"):
            client.send(word)
            sent += word
            assert await client.until(len(sent)) == sent
        client.send(b"", more=False)
        await client.end()
    assert client.status == 200
    assert client.complete


async def test_one_task_alone_receives() -> None:
    async with memory_gateway(CAT) as it, exchanging(it.app, "POST /function/cat") as client:
        client.send(b"x")
        await client.until(1)
        client.send(b"", more=False)
        await client.end()
    assert client.most_receiving == 1


async def test_a_program_that_does_not_read_stops_its_caller() -> None:
    async with memory_gateway(SLEEP) as it, exchanging(it.app, "POST /function/sleep") as client:
        for _ in range(100):
            client.send(bytes(CHUNK))
        await settled(lambda: client.untaken)
        assert client.untaken > 90


async def test_a_caller_that_does_not_read_stops_the_program() -> None:
    async with memory_gateway(YES) as it, exchanging(it.app, "POST /function/yes") as client:
        await client.until(1)
        client.stop_reading()
        await settled(lambda: it.call.stdout_bytes)
        written = it.call.stdout_bytes
        assert written - len(client.received) <= 4 * CHUNK
        client.read_on()
        await client.until(written + CHUNK)


async def test_a_caller_who_leaves_ends_the_call_although_its_body_goes_on() -> None:
    async with memory_gateway(SLEEP) as it, exchanging(it.app, "POST /function/sleep") as client:
        client.send(b"half of ")
        await settled(lambda: len(it.engine.running))
        client.leave()
        await client.end()
        assert it.engine.running == {}
    assert isinstance(it.call.error, CallerLeft)
    assert it.call.status == 499
    assert client.status == 0


async def test_a_caller_who_leaves_while_nothing_is_received_is_noticed_at_once() -> None:
    async with memory_gateway(SLEEP) as it:
        leave: list[Any] = []
        async with exchanging(it.app, "POST /function/sleep") as client:
            client.scope["extensions"] = {DEPARTURE: leave.append}
            for _ in range(20):
                client.send(bytes(CHUNK))
            await settled(lambda: client.untaken)
            leave[0]()
            await client.end()
            assert it.engine.running == {}
    assert isinstance(it.call.error, CallerLeft)


async def test_half_a_body_is_never_taken_for_a_whole_one() -> None:
    ended = asyncio.Event()

    async def reader(call: Call) -> None:
        async for _ in call.stdin:
            pass
        ended.set()

    function = deployed("reader", image="reader")
    async with (
        memory_gateway(function, programs={"reader": reader}) as it,
        exchanging(it.app, "POST /function/reader") as client,
    ):
        client.send(b"half of ")
        await settled(lambda: it.engine.running and it.call.stdin_bytes)
        client.leave()
        await client.end()
    assert not ended.is_set()


async def test_a_caller_who_leaves_before_the_container_is_there_is_noticed() -> None:
    one = deployed("sleep", "sleep", "1000", concurrency=1, queue_wait=60.0)
    async with (
        memory_gateway(one) as it,
        exchanging(it.app, "GET /function/sleep") as first,
        exchanging(it.app, "GET /function/sleep") as second,
    ):
        first.send(b"", more=False)
        second.send(b"", more=False)
        await settled(lambda: it.service.waiting(one))
        assert it.heard.heard.count("started") == 1
        second.leave()
        await second.end()
        assert it.service.waiting(one) == 0
        assert len(it.engine.running) == 1
        first.leave()
        await first.end()


async def test_up_to_64_kib_wait_for_the_status() -> None:
    async def says(call: Call) -> int:
        await call.stdout.write(bytes(HOLD_BACK))
        await call.stdin.read()
        return 3

    function = deployed("says", image="says")
    async with (
        memory_gateway(function, programs={"says": says}) as it,
        exchanging(it.app, "POST /function/says") as client,
    ):
        await settled(lambda: it.heard.calls and it.call.stdout_bytes)
        assert client.status == 0
        client.send(b"", more=False)
        await client.end()
    assert client.status == 500
    assert client.headers["x-exit-code"] == "3"
    assert len(client.received) == HOLD_BACK


async def test_more_than_64_kib_go_out_live() -> None:
    async def says(call: Call) -> None:
        await call.stdout.write(bytes(HOLD_BACK + 1))
        await call.stdin.read()

    function = deployed("says", image="says")
    async with (
        memory_gateway(function, programs={"says": says}) as it,
        exchanging(it.app, "POST /function/says") as client,
    ):
        await client.until(HOLD_BACK + 1)
        assert client.status == 200
        assert "content-length" not in client.headers
        client.send(b"", more=False)
        await client.end()
    assert client.complete


@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson; q=0.9"])
async def test_what_is_asked_for_live_comes_live(accept: str) -> None:
    async with (
        memory_gateway(HELD_CAT) as it,
        exchanging(it.app, "POST /function/cat", {"Accept": accept}) as client,
    ):
        client.send(b"data: 1\n\n")
        await client.until(9)
        assert client.headers["content-type"] == accept.partition(";")[0]


async def test_a_failure_after_the_status_is_a_cut_answer() -> None:
    async def fails(call: Call) -> int:
        await call.stdout.write(b"so far so good")
        await call.stdin.read()
        return 1

    function = deployed("fails", image="fails", stream=True)
    async with (
        memory_gateway(function, programs={"fails": fails}) as it,
        exchanging(it.app, "POST /function/fails") as client,
    ):
        await client.until(14)
        client.send(b"", more=False)
        with pytest.raises(AnswerCut, match="non-zero exit status 1"):
            await client.end()
    assert client.status == 200
    assert not client.complete
    assert it.call.status == 500


async def test_a_body_that_grows_too_large_is_a_413_and_ends_the_call() -> None:
    async with (
        memory_gateway(HELD_CAT, options=GatewayOptions(max_body=10)) as it,
        exchanging(it.app, "POST /function/cat") as client,
    ):
        client.send(b"12345")
        client.send(b"67890!")
        await client.end()
        assert it.engine.running == {}
    assert client.status == 413
    assert b"10 bytes" in client.received


async def test_a_body_that_is_too_large_from_the_start_starts_nothing() -> None:
    small = deployed("cat", "cat", max_body=4)
    async with memory_gateway(small) as it:
        answer = await it.ask("POST /function/cat", b"12345")
        assert it.heard.calls == []
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


async def test_a_body_that_grows_too_large_cuts_a_live_answer() -> None:
    live = deployed("cat", "cat", stream=True, max_body=5)
    async with memory_gateway(live) as it, exchanging(it.app, "POST /function/cat") as client:
        client.send(b"12345")
        await client.until(5)
        client.send(b"6")
        with pytest.raises(AnswerCut, match="5 bytes"):
            await client.end()
    assert not client.complete


async def test_a_program_that_reads_nothing_of_its_body_still_answers() -> None:
    async with (
        memory_gateway(deployed("hi", "echo", "hi")) as it,
        exchanging(it.app, "POST /function/hi") as client,
    ):
        for _ in range(50):
            client.send(bytes(CHUNK))
        await client.end()
    assert client.received == b"hi\n"


async def settled(value: object) -> None:
    """Give every task its turns until a number no longer changes, and is not nothing."""
    assert callable(value)
    last, same = None, 0
    async with asyncio.timeout(10):
        while same < 20 or not last:
            await asyncio.sleep(0)
            now = value()
            same = same + 1 if now == last else 0
            last = now
