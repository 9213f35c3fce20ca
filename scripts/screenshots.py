"""Draw docs/pictures/ui-*.png: the dashboard in Chromium, over functions made for the picture.

python scripts/screenshots.py [DIRECTORY]
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from playwright.async_api import async_playwright  # noqa: E402
from tests.support.browser import BROWSER, OPTIONS  # noqa: E402
from tests.support.dashboard import Board, board  # noqa: E402
from tests.support.functions import deployed  # noqa: E402

from wherry import streams  # noqa: E402
from wherry.calls import QueuedRequest  # noqa: E402
from wherry.models import Exit  # noqa: E402
from wherry.server.listening import Listening  # noqa: E402
from wherry.server.sockets import bind  # noqa: E402
from wherry.service.call import Call  # noqa: E402
from wherry.service.recent import STEP, STEPS, Recent  # noqa: E402

if TYPE_CHECKING:
    from typing import Literal

    from playwright.async_api import Browser

    Scheme = Literal["light", "dark"]

    from wherry.testing import Call as Running

WIDE, NARROW = (1100, 700), (380, 700)
_SEED = 4


class Clock:
    """A clock that is set by hand."""

    now = 1000 * STEP

    def __call__(self) -> float:
        return self.now


async def shout(call: Running) -> int:
    """Answer in capitals, after a while that depends on nothing."""
    await asyncio.sleep(0.012)
    async for chunk in call.stdin:
        await call.stdout.write(chunk.upper())
    return 0


async def resize(call: Running) -> int:
    """Say what it does, and answer."""
    async for _ in call.stdin:
        pass
    for line in ("reading 4032x3024 JPEG", "scaling to 1200x900", "writing WebP, quality 82"):
        await call.stderr.write(f"{line}\n".encode())
        await asyncio.sleep(0.06)
    for _ in range(6):
        await call.stdout.write(b"RIFF\x24\x1e\x00\x00WEBPVP8 picture bytes go here\n")
        await asyncio.sleep(0.02)
    return 0


async def fail(call: Running) -> int:
    """Complain, and fail."""
    async for _ in call.stdin:
        pass
    await call.stderr.write(b"cannot reach mail.example.org: connection refused\n")
    return 75


async def sleep(call: Running) -> int:
    """Work for longer than the pictures take."""
    await call.stderr.write(b"page 1 of 48\npage 2 of 48\npage 3 of 48\n")
    await asyncio.sleep(600)
    return 0


FUNCTIONS = (  # name, image, program, calls a second, seconds, failing
    ("resize", "registry.example.org/media/resize:2.4", resize, 14.0, 0.19, 0.004),
    ("upper", "busybox", shout, 32.0, 0.0014, 0.0),
    ("ocr", "registry.example.org/text/ocr:1.9", sleep, 1.3, 2.4, 0.0),
    ("mail", "registry.example.org/notify/mail:3", fail, 2.2, 0.08, 0.17),
    ("pdf", "registry.example.org/text/libreoffice:7", shout, 0.4, 1.9, 0.01),
    ("geoip", "ghcr.io/example/geoip:2026-11", shout, 6.5, 0.004, 0.0),
    ("nightly-report", "registry.example.org/reports:14", shout, 0.0, 1.0, 0.0),
)


def history(recent: Recent, clock: Clock) -> None:
    """Let ten minutes of calls go by."""
    chance = random.Random(_SEED)
    for step in range(STEPS):
        wave = 1 + 0.45 * math.sin(step / 14) + chance.uniform(-0.2, 0.2)
        for name, _, _, rate, seconds, failing in FUNCTIONS:
            busy = wave * (1.6 if name == "resize" and 70 < step < 88 else 1)
            for _ in range(round(rate * STEP * busy + chance.uniform(-0.4, 0.4))):
                took = seconds * chance.lognormvariate(0, 0.28) * (0.6 + 0.4 * busy)
                recent.ended(_ended(name, took, failed=chance.random() < failing))
        clock.now += STEP


def _ended(name: str, took: float, *, failed: bool) -> Call:
    return Call(
        id="1", deployed=deployed(name), trigger="http", began=0.0, started=0.001, ended=took,
        exit=Exit(1 if failed else 0),
    )  # fmt: skip


async def fill(made: Board) -> dict[str, str]:
    """Deploy and call functions; return the ids of calls that are shown."""
    functions, calls = made.dashboard.functions, made.dashboard.calls
    for name, image, *_ in FUNCTIONS:
        labels = {"wherry.timeout": "20s", "wherry.concurrency": "8"}
        memory: dict[str, Any] = {"labels": labels if name != "upper" else {"team": "text"}}
        await made.deploy(name, image=image, env_vars={"LEVEL": "info"}, **memory)
    await functions.scale("resize", replicas=4)
    await functions.scale("nightly-report", replicas=0)
    ids = {}
    for name in ("resize", "upper", "geoip", "resize", "mail", *["resize"] * 4):
        await _call(made, name)
    for name in ("ocr", "mail", "mail", "mail", "resize"):
        record = await calls.enqueue(
            QueuedRequest(name=name, namespace="openfaas-fn"), streams.source(b"scan")
        )
        ids[name] = record.id
    for _ in range(400):
        if (await calls.stats()).dead == 3 and not (await calls.get(ids["resize"])).is_open:
            return ids
        await asyncio.sleep(0.05)
    raise TimeoutError("the calls of the queue did not end")


async def _call(made: Board, name: str) -> None:
    service = made.dashboard.service
    async with service.call(service.find(name), streams.source(b"picture"), trigger="http") as live:
        async for event in live:
            if isinstance(event, Exit):
                live.finish(200 if event.ok else 500)


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Serve the dashboard; yield its address and the calls to show."""
    clock = Clock()
    recent = Recent(clock=clock)
    history(recent, clock)
    programs = {image: program for _, image, program, *_ in FUNCTIONS}
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(board(directory, programs=programs, recent=recent))
        ids = await fill(made)
        listening = Listening(made.app, bind(["127.0.0.1:0"]))
        await listening.start()
        stack.push_async_callback(listening.stop, grace=1.0)
        yield f"http://{listening.addresses[0]}", ids


async def draw(to: Path) -> None:
    """Draw every picture."""
    async with AsyncExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        url, ids = await stack.enter_async_context(served(Path(directory)))
        play = await stack.enter_async_context(async_playwright())
        browser = await play.chromium.launch(executable_path=BROWSER, args=OPTIONS)
        stack.push_async_callback(browser.close)
        pages = {
            "functions": "/ui/",
            "function": "/ui/functions/resize.openfaas-fn",
            "call": f"/ui/calls/{ids['resize']}",
            "queue": "/ui/queue",
        }
        schemes: tuple[Scheme, ...] = ("light", "dark")
        for scheme in schemes:
            for name, path in pages.items():
                await _shot(browser, url + path, to / f"ui-{name}-{scheme}.png", scheme, WIDE)
        await _shot(browser, url + pages["functions"], to / "ui-narrow.png", "light", NARROW)


async def _shot(
    browser: Browser, url: str, to: Path, scheme: Scheme, size: tuple[int, int]
) -> None:
    page = await browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme,
        reduced_motion="reduce",
    )  # fmt: skip
    await page.goto(url)
    if url.endswith("resize.openfaas-fn") and size == WIDE:
        await page.fill("#text", "a picture")
        await page.click("button[value=now]")
        await page.wait_for_selector("#answer-said a")
    await page.screenshot(path=to, full_page=True)
    await page.close()


if __name__ == "__main__":
    asyncio.run(draw(Path(sys.argv[1]) if sys.argv[1:] else ROOT / "docs" / "pictures"))
