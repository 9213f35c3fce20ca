"""Functions behind routes of their own: upload a file, get the converted one back.

The upload streams into the container's stdin while its stdout streams into the answer, and
nothing is kept here. Run it with ``uvicorn app:app``.
"""

import dataclasses
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Mount, Route
from upload import Upload  # type: ignore[import-not-found]

import wherry
from wherry import AsyncClient, Function, Limits

PAGE = """<!doctype html><html lang="en"><title>hydra</title><h1>hydra</h1>
<form method="post" enctype="multipart/form-data" action="/toupper/txt">
<label>Text to upper case <input type="file" name="file" required></label>
<button>Go</button></form>
<form method="post" enctype="multipart/form-data" action="/convert/pdf">
<label>Document to PDF <input type="file" name="file" required></label>
<button>Go</button></form>
</html>"""

limits = Limits(timeout=120.0, memory=None)
FUNCTIONS = {
    "toupper": Function(
        name="toupper", image="hydra/tools", command=("tr", "a-z", "A-Z"), limits=limits
    ),
    "pdf": Function(name="pdf", image=os.environ.get("CONVERTER", "hydra/pdf"), limits=limits),
}
client = AsyncClient.from_env(functions=FUNCTIONS.values())


async def page(request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def invoke(request: Request) -> JSONResponse:
    """``{function, input, meta: {request_id, timeout_ms}}`` to ``{ok, output | error, meta}``."""
    began = time.monotonic()
    meta: dict[str, Any] = {}

    def failed(status: int, code: str, message: str, **details: object) -> JSONResponse:
        error = {"code": code, "message": message, "details": details}
        return answer({"ok": False, "error": error}, status)

    def answer(document: dict[str, Any], status: int) -> JSONResponse:
        spent = {"duration_ms": round((time.monotonic() - began) * 1000)}
        return JSONResponse({**document, "meta": {**meta, **spent}}, status)

    try:
        asked = await request.json()
        name, data, given = asked["function"], asked.get("input", ""), asked.get("meta") or {}
        meta = {"request_id": str(given.get("request_id", ""))}
        timeout = min(float(given.get("timeout_ms", 120_000)) / 1000, 120.0)
        if not isinstance(data, str) or timeout <= 0:
            raise ValueError("input must be text, and timeout_ms more than 0")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return failed(400, "invalid_request", f"write {invoke.__doc__}: {error!r}")
    if name not in FUNCTIONS:
        return failed(404, "unknown_function", f"there is no {name!r}", known=list(FUNCTIONS))
    function = FUNCTIONS[name]
    bounded = dataclasses.replace(
        function, limits=dataclasses.replace(function.limits, timeout=timeout)
    )
    try:
        result = await client.invoke(bounded, input=data)
    except wherry.WherryError as error:
        return failed(502, "engine", str(error))
    if result.exit.reason == "timeout":
        return failed(504, "timeout", f"{name} did not end within {timeout:g} s")
    if not result.ok:
        stderr = result.stderr.decode(errors="replace")[-1000:]
        message = f"{name} {result.exit.describe()}"
        return failed(500, "function_failed", message, exit_code=result.exit.code, stderr=stderr)
    return answer({"ok": True, "output": result.text}, 200)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with client:
        yield


def upload(name: str, media_type: str) -> Upload:
    return Upload(wherry.asgi(FUNCTIONS[name], client=client), media_type=media_type)


app = Starlette(
    routes=[
        Route("/", page),
        Route("/functions/invoke", invoke, methods=["POST"]),
        Mount("/toupper/txt", app=upload("toupper", "text/plain; charset=utf-8")),
        Mount("/convert/pdf", app=upload("pdf", "application/pdf")),
    ],
    lifespan=lifespan,
)
