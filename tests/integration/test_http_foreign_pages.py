"""A real browser shows a page of another origin, which tries what it can on a gateway here."""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright
from tests.support.require import require
from tests.support.serve_process import Served, serving

UPPER = {"service": "upper", "image": "busybox", "envProcess": "tr a-z A-Z"}
ATTACK = """async (gateway) => {
    const quietly = async (work) => { try { await work() } catch (error) { /* refused */ } }
    const post = (path, body, method = "POST") => quietly(
        () => fetch(gateway + path, {method, mode: "no-cors", credentials: "include", body}))
    await post("/function/upper", "x")
    await post("/system/functions", JSON.stringify({service: "evil", image: "busybox"}))
    await post("/system/scale-function/upper", JSON.stringify({replicas: 7}))
    await quietly(() => fetch(gateway + "/system/functions", {method: "DELETE",
        body: JSON.stringify({functionName: "upper"})}))
    await quietly(() => fetch(gateway + "/function/upper", {mode: "no-cors",
        referrerPolicy: "no-referrer"}))
    await quietly(() => new Promise((done) => {
        const image = new Image(); image.onload = image.onerror = done
        image.src = gateway + "/function/upper" }))
    await quietly(() => new Promise((done) => {
        const script = document.createElement("script"); script.onload = script.onerror = done
        script.src = gateway + "/function/upper"; document.head.append(script) }))
    await quietly(() => new Promise((done) => {
        const frame = document.createElement("iframe"); frame.name = "hidden"
        document.body.append(frame)
        const form = document.createElement("form"); form.method = "POST"; form.target = "hidden"
        form.enctype = "text/plain"; form.action = gateway + "/function/upper"
        document.body.append(form); frame.onload = done; form.submit() }))
    let read = null
    await quietly(async () => { read = await (await fetch(gateway + "/system/functions")).text() })
    return read
}"""


@contextmanager
def foreign_page() -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<!doctype html><title>evil</title><p>win a prize"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(served: Served, line: str, body: Any = None) -> Any:
    method, _, path = line.partition(" ")
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(served.url + path, method=method, data=data)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


@contextmanager
def browser() -> Iterator[Page]:
    program = require("chromium")
    options = ["--host-resolver-rules=MAP evil.example 127.0.0.1"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield opened.new_page()
        finally:
            opened.close()


def test_a_foreign_page_can_neither_deploy_nor_invoke_nor_read_without_auth(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "data", "--no-auth", "--no-access-log") as served:
        ask(served, "POST /system/functions", UPPER)
        before = json.loads(ask(served, "GET /system/functions"))
        with foreign_page() as port, browser() as page:
            # Another port is another origin of the same site; another name is another site; and
            # a name that is pointed here makes a page of its own of what the gateway answers.
            for origin in (f"http://127.0.0.1:{port}", f"http://localhost:{port}",
                           f"http://evil.example:{port}"):  # fmt: skip
                page.goto(origin)
                assert page.evaluate(ATTACK, served.url) is None
                assert json.loads(ask(served, "GET /system/functions")) == before
            rebound = page.goto(f"http://evil.example:{served.port}/system/functions")
            assert rebound is not None
            assert rebound.status == 421
            page.goto(f"{served.url}/healthz")
            said = page.evaluate(
                "async () => (await fetch('/function/upper', {method: 'POST', body: 'x'})).text()"
            )
            assert said == "X"
        after = json.loads(ask(served, "GET /system/functions"))
        assert [each["invocationCount"] for each in after] == [1]
