"""The remote container API around a fake: who is let in, in which order, and what is answered."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.remote_fake import BASIC, ID, TOKEN, Clock, Fake, ask, error_of, remote, send
from tests.support.wire_client import wire

from wherry.errors import (
    Conflict,
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    NotFound,
    ProgramNotFound,
    RegistryError,
    UsageError,
)
from wherry.models import Exit, Output
from wherry.remote.faults import Forbidden
from wherry.remote.refusals import Failed

JSON = "application/json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"
LOGS = b'{"command":"docker logs box","raw":"hi\\n"}'


# ---- shapes ------------------------------------------------------------------------------------


async def test_each_route_answers_in_its_shape() -> None:
    rows = json.dumps([{"container id": ID[:12], "names": "box"}], separators=(",", ":")).encode()
    table = [
        ("GET", "/", b"", rows),
        ("GET", "/box", b"", LOGS),
        ("GET", "/box/", b"", LOGS),
        ("PUT", "/", b"image=a&name=box",
         b'{"command":"docker run --name box a","raw":"hi\\n","containerId":"hi"}'),
        ("PUT", "/", b"image=a&name=box&detach=1",
         b'{"command":"docker run --name box --detach a","raw":"%s\\n","containerId":"%s"}'
         % (ID.encode(), ID.encode())),
        ("POST", "/box", b"data=ls",
         b'{"command":"docker exec box ls","raw":"hi\\n"}'),
        ("POST", "/box", b"data=docker+run+ps+inspect",
         b'{"command":"docker exec box docker run ps inspect","raw":"hi\\n"}'),
        ("DELETE", "/box", b"", b'{"command":"docker rm -f box","raw":"box\\n"}'),
    ]  # fmt: skip
    for method, path, body, expected in table:
        status, headers, answered = await ask(remote(Fake()), method, path, body)
        assert (status, headers["content-type"], answered) == (200, JSON, expected)


async def test_a_missing_container_is_removed_with_nothing_to_say() -> None:
    reply = await ask(remote(Fake(error=NotFound("no"))), "DELETE", "/box")
    assert reply[0] == 200
    assert error_of(reply) == {"command": "docker rm -f box", "raw": ""}


@pytest.mark.parametrize(
    ("path", "image"),
    [("/busybox", "busybox"), ("/library/redis:7", "library/redis:7"),
     ("/library%2Fredis%3A7", "library/redis:7"), ("/localhost:5000/a/b", "localhost:5000/a/b"),
     ("/localhost%3A5000%2fa%2Fb", "localhost:5000/a/b")],
)  # fmt: skip
async def test_an_image_is_pulled_by_raw_and_by_encoded_slashes(path: str, image: str) -> None:
    fake = Fake()
    status, _, body = await ask(remote(fake), "HEAD", path)
    assert (status, body) == (200, b"")
    assert fake.asked[0].image == image


async def test_head_of_the_list_is_the_list_without_its_body() -> None:
    fake = Fake()
    status, headers, body = await ask(remote(fake), "HEAD", "/")
    assert (status, headers["content-type"], body) == (200, JSON, b"")
    assert fake.asked == [("list", "operator")]


async def test_a_head_that_fails_has_no_body() -> None:
    app = remote(Fake(error=ImageNotFound("no such image")))
    assert (await ask(app, "HEAD", "/nope"))[::2] == (500, b"")
    app = remote(Fake(error=ImageNotFound("no such image")), strict=True)
    assert (await ask(app, "HEAD", "/nope"))[::2] == (404, b"")


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/box"), ("POST", "/"), ("DELETE", "/"), ("PATCH", "/"), ("OPTIONS", "/box"),
     ("GET", "/a/b"), ("DELETE", "/a/b/c"), ("POST", "/a/b"), ("TRACE", "/")],
)  # fmt: skip
async def test_whatever_else_is_asked_for_is_not_there(method: str, path: str) -> None:
    fake = Fake()
    status, _, _ = await ask(remote(fake), method, path)
    assert status == 404
    assert fake.asked == []


@pytest.mark.parametrize("path", ["/a%2Fb", "/x;id", "/--help", "/-f", "/$(id)", "/a%20b", "/%00",
                                  "/a%0Ab", "/..", "/%ff", "/`id`"])  # fmt: skip
async def test_no_path_is_an_option_or_a_command(path: str) -> None:
    for method, body in (("GET", b""), ("DELETE", b""), ("POST", b"data=ls"), ("HEAD", b"")):
        fake = Fake()
        if method == "HEAD" and path == "/a%2Fb":
            continue  # which is an image
        reply = await ask(remote(fake), method, path, body)
        assert reply[0] == 400, method
        assert fake.asked == []


async def test_inspect_is_asked_for_by_the_query() -> None:
    reply = await ask(remote(Fake()), "GET", "/box?inspect")
    found = error_of(reply)
    assert list(found) == ["command", "raw", "object"]
    assert found["command"] == "docker inspect box"
    assert json.loads(found["raw"]) == found["object"] == [{"Id": ID}]
    assert (await ask(remote(Fake()), "GET", "/box?inspect=0"))[2] == LOGS


async def test_an_exec_reads_a_body_of_bytes_whole() -> None:
    data = bytes(range(256)) * 1000
    reply = await ask(remote(Fake()), "POST", "/box?data=cat&interactive=1", data,
                      kind="application/octet-stream")  # fmt: skip
    assert error_of(reply)["raw"] == data.decode(errors="replace")


async def test_long_logs_are_answered_while_they_are_read() -> None:
    pieces = ["é" * 40_000, '"\n\\\x00', "end"] * 20
    whole = "".join(pieces).encode()
    parts = [whole[n : n + 65_535] for n in range(0, len(whole), 65_535)]
    fake = Fake(events=[Output("stdout", part) for part in parts] + [Output("stderr", b"no")])
    _, headers, body = await ask(remote(fake), "GET", "/box")
    assert headers["transfer-encoding"] == "chunked"
    assert json.loads(body) == {"command": "docker logs box", "raw": whole.decode()}


# ---- who is let in, and in which order -----------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_the_token_alone_is_encoded(scheme: str) -> None:
    given = f"{scheme} {base64.b64encode(TOKEN.encode()).decode()}"
    assert (await ask(remote(Fake()), "GET", auth=given))[0] == 200
    assert (await ask(remote(Fake()), "GET", auth=f"Bearer {TOKEN}"))[0] == 200


@pytest.mark.parametrize(
    "auth",
    [None, "Basic", "Basic !!!", f"Basic {TOKEN}", "Bearer", "Bearer x", f"Digest {TOKEN}", TOKEN,
     f"Basic {base64.b64encode(b'user:' + TOKEN.encode()).decode()}",
     f"Basic {base64.b64encode(TOKEN.encode() + b':').decode()}", "Bearer \xff",
     "Basic ", "Basic ====", "Basic //79", pytest.param(f"Basic {'A' * 60_000}", id="huge"),
     f"Basic {base64.b64encode(TOKEN.encode() * 2).decode().rstrip('=')}",
     f"Basic {base64.b64encode(TOKEN.encode()).decode()} {TOKEN}"],
)  # fmt: skip
async def test_who_has_no_token_is_not_let_in(auth: str | None) -> None:
    fake = Fake()
    status, headers, body = await ask(remote(fake), "GET", auth=auth)
    assert (status, headers["content-type"], body) == (
        401, "text/plain; charset=utf-8", b"Unauthorized"
    )  # fmt: skip
    assert fake.asked == []


async def test_wrong_tokens_are_throttled_and_no_token_is_none() -> None:
    app = remote(Fake())
    for _ in range(20):
        assert (await ask(app, "GET", auth=None))[0] == 401
    wrong = [(await ask(app, "GET", auth=f"Bearer guess{n}"))[0] for n in range(12)]
    assert wrong == [401] * 10 + [429] * 2
    status, headers, _ = await ask(app, "GET")  # not even the right one, until it has waited
    assert status == 429
    assert 1 <= int(headers["retry-after"]) <= 60


async def test_the_token_is_asked_for_before_the_body_and_the_body_before_the_limit() -> None:
    app = remote(Fake(), low_burst=1)
    large, broken = b"x" * 20_000, b"image=a&a[=1"
    assert (await ask(app, "PUT", "/", large, auth="Bearer x"))[0] == 401
    for _ in range(3):  # neither is counted
        assert (await ask(app, "PUT", "/", large))[0] == 413
        assert (await ask(app, "PUT", "/", broken))[0] == 400
    assert (await ask(app, "PUT", "/", b"image=a"))[0] == 200
    assert (await ask(app, "PUT", "/", b"image=a"))[0] == 429
    assert (await ask(app, "PUT", "/", large))[0] == 413


@pytest.mark.parametrize(
    ("size", "status"), [(10_239, 200), (10_240, 200), (10_241, 413), (100_000, 413)]
)
async def test_a_body_has_ten_kilobytes_at_most(size: int, status: int) -> None:
    body = b"image=a&x=".ljust(size, b"x")
    assert (await ask(remote(Fake()), "PUT", "/", body))[0] == status
    async with wire(remote(Fake())) as client:
        head = {"host": "x", "authorization": BASIC, "content-type": FORM,
                "transfer-encoding": "chunked"}  # fmt: skip
        await send(client, "PUT", "/", head, b"%x\r\n%b\r\n0\r\n\r\n" % (size, body))
        assert (await client.answer())[0] == status


# ---- limits ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "limit"),
    [("GET", "/", b"", "high"), ("GET", "/box", b"", "high"), ("HEAD", "/", b"", "high"),
     ("DELETE", "/box", b"", "mid"), ("HEAD", "/img", b"", "low"), ("PUT", "/", b"image=a", "low"),
     ("POST", "/box", b"data=ls", "low")],
)  # fmt: skip
async def test_a_limit_is_exact_at_its_boundary(
    method: str, path: str, body: bytes, limit: str
) -> None:
    clock = Clock()
    app = remote(Fake(), clock=clock, **{"low_burst": 1, "mid_burst": 1, "high_burst": 1,
                                         f"{limit}_burst": 3})  # fmt: skip
    for remaining in (2, 1, 0):
        status, headers, _ = await ask(app, method, path, body)
        assert status == 200
        assert headers["x-ratelimit-limit"] == "3"
        assert headers["x-ratelimit-remaining"] == str(remaining)
        assert headers["x-ratelimit-reset"] == "1060"
        assert "retry-after" not in headers
        clock.now += 10
    status, headers, answer = await ask(app, method, path, body)
    assert status == 429
    assert (headers["retry-after"], headers["x-ratelimit-remaining"]) == ("30", "0")
    if method != "HEAD":
        assert answer == b"Too many requests, please try again later."
    clock.now = 1059.9
    assert (await ask(app, method, path, body))[0] == 429
    clock.now = 1060.0
    assert (await ask(app, method, path, body))[0] == 200


async def test_pulls_runs_and_execs_share_one_limit() -> None:
    app = remote(Fake(), low_burst=3)
    for method, path, body in [("HEAD", "/img", b""), ("PUT", "/", b"image=a"),
                               ("POST", "/box", b"data=ls")]:  # fmt: skip
        assert (await ask(app, method, path, body))[0] == 200
    assert (await ask(app, "HEAD", "/img"))[0] == 429
    assert (await ask(app, "GET", "/"))[0] == 200
    assert (await ask(app, "DELETE", "/box"))[0] == 200


async def test_zero_is_no_limit_and_says_none() -> None:
    app = remote(Fake())
    for _ in range(400):
        status, headers, _ = await ask(app, "GET")
        assert status == 200
    assert not [name for name in headers if name.startswith("x-ratelimit")]


async def test_no_header_of_a_client_skips_a_limit() -> None:
    app = remote(Fake(), high_burst=1)
    skips = {"docker-server": "force", "x-forwarded-for": "1.2.3.4"}
    assert (await ask(app, "GET", headers=skips))[0] == 200
    assert (await ask(app, "GET", headers=skips | {"x-forwarded-for": "1.2.3.5"}))[0] == 429


# ---- errors ------------------------------------------------------------------------------------

FAILED = (Output("stdout", b"out"), Output("stderr", b"err\n"), Exit(3))


async def test_a_run_without_an_image_is_refused_in_these_words() -> None:
    for strict in (False, True):
        reply = await ask(remote(Fake(), strict=strict), "PUT", "/", b"name=x")
        assert reply[0] == 400
        assert reply[2] == b'{"code":400,"error":"No image supplied!"}'


async def test_a_program_that_fails_is_500_and_in_the_strict_mode_422() -> None:
    for method, path, body in [("PUT", "/", b"image=a&name=box"), ("POST", "/box", b"data=ls")]:
        compatible = await ask(remote(Fake(events=FAILED)), method, path, body)
        assert compatible[0] == 500
        assert list(error_of(compatible)) == ["code", "error"]
        assert "returned non-zero exit status 3: err" in error_of(compatible)["error"]
        strict = await ask(remote(Fake(events=FAILED), strict=True), method, path, body)
        assert strict[0] == 422
        told = {"exit_code": 3, "stdout": "out", "stderr": "err\n"}
        assert error_of(strict).items() >= told.items()


@pytest.mark.parametrize(
    ("error", "strict"),
    [(NotFound("no x"), 404), (ImageNotFound("no x"), 404), (Conflict("no x"), 409),
     (UsageError("no x"), 422), (ProgramNotFound("no x"), 422), (RegistryError("no x"), 502),
     (Failed("no x"), 502)],
)  # fmt: skip
async def test_an_error_has_its_status_in_the_strict_mode(error: Exception, strict: int) -> None:
    body = b"image=a"
    reply = await ask(remote(Fake(error=error)), "PUT", "/", body)
    assert (reply[0], error_of(reply)) == (500, {"code": 500, "error": "no x"})
    reply = await ask(remote(Fake(error=error), strict=True), "PUT", "/", body)
    assert (reply[0], error_of(reply)["code"], error_of(reply)["error"]) == (strict, strict, "no x")


async def test_what_a_policy_forbids_is_403_in_both_modes() -> None:
    for strict in (False, True):
        reply = await ask(remote(Fake(error=Forbidden("ports: no")), strict=strict), "GET")
        assert (reply[0], error_of(reply)["error"]) == (403, "ports: no")


@pytest.mark.parametrize(
    "error",
    [EngineError("engine unix:///run/secret.sock: x"), EngineUnavailable("/run/secret.sock"),
     RuntimeError("/usr/lib/python3/secret.py"), KeyError("secret")],
)  # fmt: skip
@pytest.mark.parametrize("strict", [True, False])
async def test_no_error_tells_a_path_of_the_server(
    error: Exception, strict: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        for method, path, body in [("GET", "/", b""), ("PUT", "/", b"image=a"), ("GET", "/b", b"")]:
            status, _, answer = await ask(
                remote(Fake(error=error), strict=strict), method, path, body
            )
            assert status in (500, 502, 503)
            assert b"secret" not in answer
            assert b"Traceback" not in answer


async def test_a_program_that_takes_too_long_is_ended() -> None:
    fake = Fake(events=[Output("stdout", b"some")], forever=True)
    app = remote(fake, timeout=0.01, strict=True)
    reply = await ask(app, "PUT", "/", b"image=a&timeout=5")
    assert reply[0] == 504
    assert error_of(reply)["stdout"] == "some"
    assert error_of(reply)["exit_code"] is None
    assert fake.left.is_set()


async def test_output_is_bounded() -> None:
    fake = Fake(events=[Output("stdout", b"x" * 65536)] * 10, forever=True)
    reply = await ask(remote(fake, output_limit=100_000), "PUT", "/", b"image=a")
    assert reply[0] == 500
    assert "100000 bytes" in error_of(reply)["error"]
    assert fake.left.is_set()


async def test_a_client_that_leaves_ends_what_it_asked_for() -> None:
    fake = Fake(events=[], forever=True)
    async with wire(remote(fake)) as client:
        head = {"host": "x", "authorization": BASIC, "content-type": FORM, "content-length": "7"}
        await send(client, "PUT", "/", head, b"image=a")
        while not fake.asked:
            await asyncio.sleep(0)
        client.close()
        async with asyncio.timeout(10):
            await fake.left.wait()


async def test_bodies_and_queries_are_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await ask(remote(Fake()), "PUT", "/?a=hunter2", b"image=a&env[A]=hunter2&data=hunter2")
        await ask(remote(Fake()), "PUT", "/?a=hunter2", b"name=hunter2")
        await ask(
            remote(Fake()), "POST", "/box?data=hunter2", b"x", kind="application/octet-stream"
        )
    assert caplog.records
    assert "hunter2" not in str([vars(record) for record in caplog.records])


# ---- anything ----------------------------------------------------------------------------------

_VISIBLE = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")
_PATH = st.text(_VISIBLE, max_size=20)
_KINDS = ["application/json", FORM, "application/octet-stream", "", "multipart/form-data"]


@settings(max_examples=150)
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"]),
    path=_PATH,
    kind=st.sampled_from(_KINDS),
    body=st.binary(max_size=200)
    | st.dictionaries(st.sampled_from(["image", "data", "name", "ports", "tty", "env"]),
                      st.text(max_size=20)).map(lambda fields: json.dumps(fields).encode()),
)  # fmt: skip
def test_whatever_is_asked_for_is_answered_and_never_by_a_mistake_of_ours(
    method: str, path: str, kind: str, body: bytes
) -> None:
    async def check() -> tuple[int, dict[str, Any], bytes]:
        return await ask(remote(Fake()), method, f"/{path}", body, kind=kind)

    status, _, answer = asyncio.run(check())
    assert status in (200, 400, 404)
    assert b"Traceback" not in answer
