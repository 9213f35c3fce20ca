"""Results that are told: durable, tried again, and told in the words of the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from tests.support.queueing import Queueing, eventually, queueing

if TYPE_CHECKING:
    from wherry.calls.callbacks import Told
    from wherry.calls.model import CallbackState, CallRecord


@dataclass
class Listener:
    """Somebody who is told; answers what it is said to, then 200."""

    answers: list[int] = field(default_factory=list)
    told: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    async def take(self, call: web.Request) -> web.Response:
        self.told.append((dict(call.headers), await call.read()))
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Location": "/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def listening(*answers: int) -> AsyncIterator[Listener]:
    listener = Listener(list(answers))
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/told", listener.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/told"
    try:
        yield listener
    finally:
        await runner.cleanup()


async def settled(on: Queueing, id: str, state: CallbackState = "delivered") -> CallRecord:  # noqa: A002
    async def reached() -> CallRecord | None:
        record = await on.store.get(id)
        return record if record.callback and record.callback.state == state else None

    record: CallRecord = await eventually(reached)
    return record


async def test_a_result_is_posted_with_what_the_contract_says_of_its_call(tmp_path: Path) -> None:
    async with listening() as listener, queueing(tmp_path) as on:
        queued = await on.put(data=b"hello", callback=listener.url)
        record = await settled(on, queued.id)
        assert record.callback is not None
        assert (record.callback.attempts, record.callback.status) == (1, 200)
        ((headers, body),) = listener.told
        assert body == b"HELLO"
        assert headers["X-Call-Id"] == queued.id
        assert headers["X-Function-Name"] == "upper"
        assert headers["X-Function-Status"] == "200"
        assert float(headers["X-Duration-Seconds"]) == pytest.approx(record.duration, abs=1e-5)
        assert headers["Content-Length"] == "5"


async def test_a_large_result_is_streamed_to_its_listener(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    async with listening() as listener, queueing(tmp_path) as on:
        on.declared.add("cat", "busybox", command=("cat",))
        await settled(on, (await on.put("cat", data, callback=listener.url)).id)
        assert listener.told[0][1] == data


async def test_a_listener_that_fails_is_told_again_until_it_takes_it(tmp_path: Path) -> None:
    async with listening(500, 302, 404, 503) as listener, queueing(tmp_path) as on:
        record = await settled(on, (await on.put(callback=listener.url)).id)
        assert record.callback is not None
        assert (record.callback.attempts, record.callback.error) == (5, None)
        assert [body for _, body in listener.told] == [b"HELLO"] * 5


async def test_a_listener_that_is_gone_is_not_told_again(tmp_path: Path) -> None:
    async with listening(410) as listener, queueing(tmp_path) as on:
        record = await settled(on, (await on.put(callback=listener.url)).id, "failed")
        assert record.callback is not None
        assert (record.callback.attempts, record.callback.status) == (1, 410)
        assert "410" in (record.callback.error or "")


async def test_a_listener_that_is_not_there_is_given_up_at_last(tmp_path: Path) -> None:
    async with listening() as listener:
        url = listener.url
    async with queueing(tmp_path) as on:
        record = await settled(on, (await on.put(callback=url)).id, "failed")
        assert record.callback is not None
        assert (record.callback.attempts, record.callback.status) == (16, None)
        assert record.state == "done"


async def test_secrets_of_a_callbacks_address_are_for_its_listener_alone(tmp_path: Path) -> None:
    async with listening(500) as listener, queueing(tmp_path) as on:
        url = listener.url.replace("//", "//user:hush@") + "?token=hush"
        queued = await on.put(callback=url)
        record = await settled(on, queued.id)
        assert record.callback is not None
        assert record.callback.url == f"{listener.url}?…"
        assert listener.told[0][0]["Authorization"].startswith("Basic ")
    async with queueing(tmp_path) as on:
        record = await settled(on, (await on.put(callback=url)).id, "failed")
        assert record.callback is not None
        assert record.callback.error
        assert "hush" not in record.callback.error


async def test_dead_and_cancelled_calls_are_told_too(tmp_path: Path) -> None:
    async with listening() as listener, queueing(tmp_path) as on:
        on.declared.add("bad", "busybox", command=("sh", "-c", "echo so far; exit 1"), retries=0)
        await settled(on, (await on.put("bad", callback=listener.url)).id)
        on.declared.add("long", "busybox", command=("sleep", "600"))
        long = await on.put("long", callback=listener.url)
        await on.until(long.id, "running")
        await on.store.cancel(long.id)
        await settled(on, long.id)
        told = [(h["X-Function-Status"], h["X-Call-State"], body) for h, body in listener.told]
        assert told == [("500", "dead", b"so far\n"), ("499", "cancelled", b"")]


async def test_a_callback_that_was_not_made_is_made_after_a_restart(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def silent(url: str, *, headers: dict[str, str], body: AsyncIterator[bytes]) -> Told:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with listening() as listener:
        async with queueing(tmp_path, deliver=silent) as on:
            queued = await on.put(callback=listener.url)
            await asked.wait()
        async with queueing(tmp_path) as on:
            record = await settled(on, queued.id)
            assert record.callback is not None
            assert record.callback.attempts == 2
        assert len(listener.told) == 1


async def test_a_call_that_is_asked_for_again_is_told_again(tmp_path: Path) -> None:
    async with listening() as listener, queueing(tmp_path) as on:
        on.declared.add("bad", "busybox", command=("false",), retries=0)
        dead = await settled(on, (await on.put("bad", callback=listener.url)).id)
        on.declared.add("bad", "busybox", command=("true",))
        await on.store.retry(dead.id)
        await on.until(dead.id)
        await settled(on, dead.id)
        assert [headers["X-Function-Status"] for headers, _ in listener.told] == ["500", "200"]
