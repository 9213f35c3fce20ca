"""The dashboard of a real `wherry serve`, in a real browser."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.browser import PATIENCE, check_accessible, chromium, opened
from tests.support.serve_process import Served, serving
from tests.support.served_calls import ask, deploy

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<img src=x onerror=alert(1)><b>bold</b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("data")
    with serving(data, "--no-auth", "--no-access-log", "--grace", "0") as served:
        deploy(served, "cat", ["cat"])
        deploy(served, "dead", ["false"], retries="0")
        deploy(served, "slow", ["sh", "-c", "echo begun >&2; echo first; sleep 600"])
        schedule(served, "often", ["sh", "-c", "echo out; echo err >&2; exit 3"])
        schedule(served, "long", ["sh", "-c", "echo begun; sleep 600"], retries=0)
        yield served


@pytest.fixture
def page(browser: Browser, site: Served) -> Iterator[Page]:
    with opened(browser, site.url) as found:
        yield found


def sees(page: Page, selector: str, text: str) -> None:
    """Wait until an element of the page holds some text."""
    page.locator(selector, has_text=text).first.wait_for()


def queued(site: Served, name: str) -> str:
    """Queue a call of a function, and return its id."""
    request = urllib.request.Request(f"{site.url}/async-function/{name}", data=b"x")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return str(answer.headers["X-Call-Id"])


def schedule(site: Served, name: str, command: list[str], **more: object) -> None:
    """Have the gateway run an image every hour."""
    given = {"name": name, "schedule": "@hourly", "kind": "run", "image": "busybox", **more}
    ask(site, "POST", "/system/schedules", json.dumps({**given, "command": command}).encode())


def ran(site: Served, name: str) -> str:
    """Run a schedule to its end, and return the run's id."""
    run = json.loads(ask(site, "POST", f"/system/schedules/{name}/run")[1])
    ask(site, "GET", f"/system/schedules/{name}/runs/{run['id']}?wait=30")
    return str(run["id"])


def test_a_function_is_deployed_and_called_by_its_forms(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Deploy", exact=True).first.click()
    page.get_by_label("Name", exact=True).fill("upper")
    page.get_by_label("Image").fill("busybox")
    page.get_by_label("Command").fill("tr a-z A-Z")
    page.get_by_role("button", name="Deploy").click()
    sees(page, "[role=status]", "It is deployed")
    page.get_by_label("Input").fill("hello\nthere")
    page.get_by_role("button", name="Invoke", exact=True).click()
    page.locator("#answer-text", has_text="HELLO\nTHERE").wait_for()
    sees(page, "#announce", "The call succeeded")
    page.get_by_role("link", name="Its record").click()
    sees(page, "h1", "Call")
    moments = page.locator(".moments .what").all_inner_texts()
    assert moments == ["asked for", "container ready", "first byte", "done"]
    page.get_by_role("link", name="Functions", exact=True).click()
    page.get_by_role("row", name=re.compile("^upper")).wait_for()


def test_a_page_goes_on_by_itself_and_focus_stays(page: Page, site: Served) -> None:
    deploy(site, "counted", ["cat"])
    page.goto("/ui/functions/counted")
    page.get_by_text("Nobody has called it yet").wait_for()
    page.get_by_role("textbox", name="Input").fill("typed, not sent")
    for _ in range(3):
        ask(site, "POST", "/function/counted", b"x")
    rows = page.get_by_role("region", name="Recent calls").locator("tbody tr")
    rows.nth(2).wait_for(timeout=60_000)  # a look that fails makes the next a later one
    link = rows.nth(2).get_by_role("link")
    link.focus()
    ask(site, "POST", "/function/counted", b"x")
    rows.nth(3).wait_for(timeout=60_000)
    assert page.evaluate("document.activeElement.classList.contains('id')")
    assert page.get_by_role("textbox", name="Input").input_value() == "typed, not sent"


def test_a_page_that_is_paused_stays_as_it_is(page: Page) -> None:
    page.goto("/ui/")
    button = page.locator("#pause")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert button.inner_text() == "Paused"
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2500)
    assert asked == []


def test_an_answer_is_shown_as_it_comes_and_can_be_stopped(page: Page, site: Served) -> None:
    page.goto("/ui/functions/slow")
    page.get_by_role("button", name="Invoke", exact=True).click()
    page.locator("#answer-text .err", has_text="begun").wait_for()
    sees(page, "#answer-text", "first")
    sees(page, "#answer-said", "It runs")
    page.get_by_role("button", name="Stop").click()
    sees(page, "#answer-said", "was stopped")
    page.locator(".badge.failed").first.wait_for()  # nothing runs any more


def test_what_a_function_writes_is_never_part_of_the_page(page: Page) -> None:
    page.goto("/ui/functions/cat")
    page.get_by_label("Input").fill(EVIL)
    page.get_by_role("button", name="Invoke", exact=True).click()
    sees(page, "#answer-said", "succeeded")
    assert page.locator("#answer-text").inner_text() == EVIL
    assert page.locator("#answer-text *").count() == 0
    page.get_by_role("button", name="Queue it").click()
    sees(page, ".badge", "done")
    assert page.locator("pre.output").inner_text() == EVIL
    assert page.locator("pre.output *").count() == 0


def test_a_file_is_sent_and_the_answer_downloaded(page: Page, tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    (tmp_path / "in.bin").write_bytes(data)
    page.goto("/ui/functions/cat")
    page.get_by_label("or a file").set_input_files(tmp_path / "in.bin")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the answer").click()
    assert download.value.suggested_filename == "cat.out"
    assert Path(download.value.path()).read_bytes() == data


def test_a_running_call_is_cancelled(page: Page) -> None:
    page.goto("/ui/functions/slow")
    page.get_by_role("button", name="Queue it").click()
    page.locator("h1 ~ .badge", has_text="running").wait_for()
    sees(page, "pre[aria-label=stderr]", "begun")
    page.get_by_role("button", name="Cancel").click()
    page.locator("h1 ~ .badge", has_text="cancelled").wait_for()
    page.get_by_role("button", name="Retry").wait_for()


def test_a_dead_call_is_tried_again(page: Page, site: Served) -> None:
    call = queued(site, "dead")
    page.goto("/ui/queue")
    row = page.locator(f"tr[data-key='{call}']")
    row.locator(".badge.dead").wait_for()
    deploy(site, "dead", ["true"])
    row.get_by_role("button", name="Retry").click()
    page.wait_for_url(f"**/ui/calls/{call}*")
    page.locator("h1 ~ .badge", has_text="done").wait_for()
    deploy(site, "dead", ["false"], retries="0")


def test_the_keyboard_is_enough(page: Page) -> None:
    page.goto("/ui/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    _tab_to(page, "Deploy")
    style = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(style) == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/deploy")
    _tab_to(page, "service")
    page.keyboard.type("keyed")
    _tab_to(page, "image")
    page.keyboard.type("busybox")
    _tab_to(page, "command")
    page.keyboard.type("cat")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/functions/keyed*")
    _tab_to(page, "text")
    page.keyboard.type("by hand")
    page.keyboard.press("Control+Enter")
    sees(page, "#answer-text", "by hand")
    _tab_to(page, "Its record")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/calls/*")


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(60):
        page.keyboard.press("Tab")
        found = "document.activeElement.id || document.activeElement.textContent.trim()"
        if page.evaluate(found) == name:
            return
    raise AssertionError(f"Tab leads to no {name!r}")


def test_a_mistake_in_a_form_is_told_and_nothing_is_lost(browser: Browser, site: Served) -> None:
    with opened(browser, site.url, status=400) as page:
        page.goto("/ui/deploy")
        page.get_by_label("Name", exact=True).fill("wrong")
        page.get_by_label("Image").fill("busybox")
        page.get_by_text("Limits, containers").click()
        page.get_by_label("Timeout").fill("soon")
        page.get_by_role("button", name="Deploy").click()
        sees(page, "[role=alert]", "wherry.timeout")
        assert page.evaluate("document.activeElement.id") == "problem"
        assert page.get_by_label("Name", exact=True).input_value() == "wrong"
        assert page.get_by_label("Timeout").get_attribute("aria-invalid") == "true"
        check_accessible(page)


def paths(site: Served) -> list[str]:
    """Return one page of each kind, with something on it."""
    call = queued(site, "dead")
    running = queued(site, "slow")
    ask(site, "POST", "/function/cat", b"x")
    return ["/ui/", "/ui/functions/cat", "/ui/functions/cat/remove", "/ui/deploy?from=cat",
            "/ui/calls", f"/ui/calls/{call}", f"/ui/calls/{running}", "/ui/queue",
            "/ui/schedules", "/ui/schedules/often",
            f"/ui/schedules/often/runs/{ran(site, 'often')}"]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(scheme: str, browser: Browser, site: Served) -> None:
    with opened(browser, site.url, color_scheme=scheme, reduced_motion="reduce") as page:
        for path in paths(site):
            page.goto(path)
            check_accessible(page)


def test_the_check_itself_sees_what_is_wrong(page: Page) -> None:
    page.goto("/ui/")
    page.evaluate("document.querySelector('h1').style.color = '#aaa'")
    page.evaluate("document.querySelector('footer a').replaceChildren()")
    with pytest.raises(AssertionError, match=r"color-contrast(.|\n)*link-name"):
        check_accessible(page)


def test_light_and_dark_are_as_the_reader_prefers(browser: Browser, site: Served) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        with opened(browser, site.url, color_scheme=scheme) as page:
            page.goto("/ui/")
            seen[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light, dark = (sum(map(int, re.findall(r"\d+", seen[each]))) for each in ("light", "dark"))
    assert light > 600
    assert dark < 120


def test_no_page_is_wider_than_a_phone(browser: Browser, site: Served) -> None:
    with opened(browser, site.url, viewport={"width": 360, "height": 740}) as page:
        for path in paths(site):
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 360, path


def test_everything_works_without_scripts(browser: Browser, site: Served) -> None:
    with opened(browser, site.url, java_script_enabled=False) as page:
        page.goto("/ui/deploy")
        page.get_by_label("Name", exact=True).fill("plain")
        page.get_by_label("Image").fill("busybox")
        page.get_by_label("Command").fill("tr a-z A-Z")
        page.get_by_role("button", name="Deploy").click()
        sees(page, "[role=status]", "It is deployed")
        page.get_by_label("Ready containers").fill("3")
        page.get_by_role("button", name="Scale").click()
        sees(page, "[role=status]", "is changed")
        page.get_by_label("Input").fill("hello")
        page.get_by_role("button", name="Invoke", exact=True).click()
        sees(page, "pre.output", "HELLO")
        sees(page, "[role=status]", "The call succeeded")
        page.get_by_role("link", name="Back to plain").click()
        page.get_by_role("button", name="Queue it").click()
        page.wait_for_url("**/ui/calls/*")
        page.goto("/ui/functions/plain")
        page.get_by_role("link", name="Remove").click()
        page.get_by_role("button", name="Remove plain").click()
        sees(page, "[role=status]", "is removed")
        assert page.get_by_role("row", name=re.compile("^plain")).count() == 0


def test_an_answer_grows_on_the_page_without_scripts(browser: Browser, site: Served) -> None:
    with opened(browser, site.url, java_script_enabled=False) as page:
        page.goto("/ui/functions/slow")
        page.get_by_role("button", name="Invoke", exact=True).click(no_wait_after=True)
        sees(page, "pre.output .err", "begun")
        sees(page, "pre.output", "first")
        page.goto("/ui/queue", timeout=PATIENCE)


def test_the_login_of_the_gateway_opens_the_dashboard(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path, "--no-access-log") as served:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{served.url}/ui/", timeout=20)
        assert refused.value.code == 401
        refused.value.close()
        login = {"username": "admin", "password": served.password}
        with opened(browser, served.url, http_credentials=login) as page:
            page.goto("/ui/deploy")
            page.get_by_label("Name", exact=True).fill("mine")
            page.get_by_label("Image").fill("busybox")
            page.get_by_label("Command").fill("cat")
            page.get_by_role("button", name="Deploy").click()
            sees(page, "footer", "user admin")
            page.get_by_label("Input").fill("let me in")
            page.get_by_role("button", name="Invoke", exact=True).click()
            sees(page, "#answer-text", "let me in")


def test_a_cgi_program_is_called_by_the_form_too(page: Page, site: Served) -> None:
    script = "echo Content-Type: text/plain; echo; cat"
    deploy(site, "gateway", ["sh", "-c", script], mode="cgi")
    page.goto("/ui/functions/gateway")
    page.get_by_label("Input").fill("common")
    page.get_by_role("button", name="Invoke", exact=True).click()
    sees(page, "#answer-said", "answered with status 200")
    assert page.locator("#answer-text").inner_text() == "common"


def test_a_schedule_is_run_watched_and_paused(page: Page) -> None:
    page.goto("/ui/")
    page.get_by_role("link", name="Schedules", exact=True).click()
    row = page.locator("tr[data-key='long']")
    row.get_by_role("button", name="Run now").click()
    page.wait_for_url("**/ui/schedules/long/runs/*")
    page.locator("h1 ~ .badge", has_text="running").wait_for()
    sees(page, "pre[aria-label=stdout]", "begun")  # while it goes on
    page.get_by_role("link", name="long", exact=True).click()
    page.get_by_role("region", name="Runs", exact=True).locator(".badge.running").wait_for()
    page.get_by_role("button", name="Pause long").click()
    sees(page, "[role=status]", "is paused")
    sees(page, ".heading .badge", "paused")
    page.get_by_role("button", name="Resume long").click()
    sees(page, "[role=status]", "runs again")


def test_schedules_work_by_keyboard_without_scripts(browser: Browser, site: Served) -> None:
    with opened(browser, site.url, java_script_enabled=False) as page:
        page.goto("/ui/schedules?q=often")
        button = page.get_by_role("button", name="Run now often")
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/ui/schedules/often/runs/*")
        while page.locator("h1 ~ .badge", has_text="failed").count() == 0:
            page.reload()
        assert page.locator("pre[aria-label=stderr]").inner_text() == "err\n"


ORDERS = ["/ui/deploy", "/ui/functions/cat/invoke", "/ui/queue/requeue",
          "/ui/schedules/often/run", "/ui/schedules/often/pause"]  # fmt: skip


@pytest.mark.parametrize("path", ORDERS)
def test_no_page_of_another_site_can_send_a_form(path: str, site: Served) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        request = urllib.request.Request(site.url + path, data=b"service=x", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=20)
        assert refused.value.code == 403
        refused.value.close()
