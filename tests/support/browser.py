"""Debian's Chromium, as the tests and the pictures start it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

BROWSER = "/usr/bin/chromium"
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 20_000
"""Milliseconds that a page may take for anything: machines are busy."""
_AXE = Path(__file__).parents[1] / "assets" / "axe" / "axe.min.js"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Have a browser for the block."""
    from playwright.sync_api import sync_playwright
    from tests.support.require import require

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=require("chromium"), args=OPTIONS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, *, status: int | None = None, **options: Any
) -> Iterator[Page]:
    """Have a page of its own context, in which no script may fail and nothing may be blocked.

    ``status`` is one of an answer that the browser may complain about.
    """
    context: BrowserContext = browser.new_context(base_url=url, **options)
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        yield page
        expected = f"responded with a status of {status} "
        assert [each for each in wrong if expected not in each] == []
    finally:
        context.close()


def check_accessible(page: Page) -> None:
    """Fail for what axe-core finds wrong with a page."""
    page.evaluate(_axe())
    found = page.evaluate("(tags) => axe.run({runOnly: tags})", _RULES)
    assert found["passes"]
    wrong = [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes']]}"
        for each in found["violations"]
    ]
    assert wrong == [], f"{page.url}\n" + "\n".join(wrong)


@cache
def _axe() -> str:
    return _AXE.read_text()
