"""The guard: who may do what, and which web pages may make a browser do it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.asgi import Asgi, basic
from tests.support.system_app import System, system

from wherry.errors import NotFound, UsageError
from wherry.triggers.http.auth import AuthOptions, check_no_auth
from wherry.triggers.http.errors import plain
from wherry.triggers.http.guarding import Guarded, needed
from wherry.triggers.http.openapi import described
from wherry.triggers.http.origins import Origins
from wherry.web.rates import Rate

UPPER = {"service": "upper", "image": "busybox", "envProcess": "tr a-z A-Z"}
GUARDED = {**UPPER, "service": "mine", "labels": {"wherry.auth": "true"}}
ADMIN = {"Authorization": basic("admin", "secret")}
FOREIGN = (
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "http://localhost.evil.example:8080"},
)
OURS: tuple[dict[str, str], ...] = (
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://127.0.0.1:8080"},
)


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[System]:
    async with system(tmp_path / "closed", options=AuthOptions()) as opened:
        await opened.ask("POST /system/functions", UPPER, headers=ADMIN)
        await opened.ask("POST /system/functions", GUARDED, headers=ADMIN)
        yield opened


@pytest.fixture
async def no_auth(tmp_path: Path) -> AsyncIterator[System]:
    async with system(tmp_path / "open") as opened:
        await opened.ask("POST /system/functions", UPPER)
        yield opened


SYSTEM = [
    ("GET /system/info", "read"),
    ("GET /system/functions", "read"),
    ("POST /system/functions", "deploy"),
    ("PUT /system/functions", "deploy"),
    ("DELETE /system/functions", "deploy"),
    ("GET /system/function/upper", "read"),
    ("POST /system/scale-function/upper", "deploy"),
    ("GET /system/secrets", "read"),
    ("POST /system/secrets", "deploy"),
    ("PUT /system/secrets", "deploy"),
    ("DELETE /system/secrets", "deploy"),
    ("GET /system/namespaces", "read"),
    ("POST /system/namespace/", "admin"),
    ("PUT /system/namespace/dev", "admin"),
    ("DELETE /system/namespace/dev", "admin"),
    ("GET /system/logs?name=upper", "read"),
    ("GET /openapi.json", "read"),
    ("GET /metrics", "read"),
    ("GET /ui/", "read"),
    ("POST /ui/anything", "deploy"),
    ("GET /system", "read"),
    ("GET /system/not/there", "read"),
]


@pytest.mark.parametrize(("line", "needs"), SYSTEM)
async def test_the_system_asks_for_a_login_and_the_right_scope(
    closed: System, line: str, needs: str
) -> None:
    bare = await closed.ask(line)
    assert bare.status == 401
    assert bare.headers["www-authenticate"] == 'Basic realm="Restricted"'
    assert (await closed.ask(line, headers={"Authorization": "Bearer x"})).status == 401
    assert (await closed.ask(line, headers=ADMIN)).status not in (401, 403)
    order = ["read", "deploy", "admin"]
    for scope in order:
        answer = await closed.ask(line, headers=closed.token(scope, name=scope))
        enough = order.index(scope) >= order.index(needs)
        assert (answer.status == 403) is not enough, answer.text
        if not enough:
            assert f"needs the scope '{needs}'" in answer.text
            assert f"token {scope} has {scope}" in answer.text
    weak = await closed.ask(line, headers=closed.token("invoke:*", name="weak"))
    assert weak.status == 403


async def test_health_and_open_functions_ask_for_nothing(closed: System) -> None:
    assert (await closed.ask("GET /healthz")).status == 200
    assert (await closed.ask("POST /function/upper", b"hi")).body == b"HI"
    wrong = {"Authorization": "Bearer of the function's own"}
    assert (await closed.ask("POST /function/upper", b"hi", headers=wrong)).body == b"HI"


async def test_a_function_that_asks_for_a_token_gets_one_with_its_scope(closed: System) -> None:
    line = "POST /function/mine"
    assert (await closed.ask(line, b"hi")).status == 401
    other = await closed.ask(line, b"hi", headers=closed.token("invoke:upper", name="other"))
    assert other.status == 403
    assert "invoke:mine.openfaas-fn" in other.text
    right = await closed.ask(line, b"hi", headers=closed.token("invoke:mine", name="right"))
    assert (right.status, right.body) == (200, b"HI")
    assert (await closed.ask(line, b"hi", headers=ADMIN)).body == b"HI"


async def test_a_server_may_ask_for_a_token_for_every_call(tmp_path: Path) -> None:
    async with system(tmp_path, options=AuthOptions(calls=True)) as opened:
        await opened.ask("POST /system/functions", UPPER, headers=ADMIN)
        assert (await opened.ask("POST /function/upper", b"hi")).status == 401
        token = opened.token("invoke:*")
        assert (await opened.ask("POST /function/upper", b"hi", headers=token)).body == b"HI"


OWN = {"Authorization": basic("somebody", "of the function")}


async def test_a_login_of_the_gateway_is_not_told_to_functions(closed: System) -> None:
    tells = {"service": "tells", "image": "busybox", "envProcess": "env"}
    asks = {**tells, "service": "asks", "labels": {"wherry.auth": "true"}}
    for function in (tells, asks):
        await closed.ask("POST /system/functions", function, headers=ADMIN)
    token = closed.token("deploy")
    in_basic = {"Authorization": basic("x", token["Authorization"].removeprefix("Bearer "))}
    for headers in (ADMIN, token, in_basic):
        for name in ("tells", "asks"):
            answer = await closed.ask(f"POST /function/{name}", b"", headers=headers)
            assert (answer.status, "Authorization" in answer.text) == (200, False)
    for theirs in (OWN, {"Authorization": "Bearer theirs"}, {"Authorization": "Digest x"}):
        answer = await closed.ask("POST /function/tells", b"", headers=theirs)
        assert f"Http_Authorization={theirs['Authorization']}" in answer.text


async def test_a_function_that_tells_all_does_not_tell_which_password_is_right(
    closed: System,
) -> None:
    tells = {"service": "tells", "image": "busybox", "envProcess": "env"}
    await closed.ask("POST /system/functions", tells, headers=ADMIN)
    for number in range(10):
        wrong = {"Authorization": basic("admin", f"guess {number}")}
        assert (
            "Authorization" in (await closed.ask("POST /function/tells", b"", headers=wrong)).text
        )
    assert "Authorization" in (await closed.ask("POST /function/tells", b"", headers=ADMIN)).text
    assert (await closed.ask("GET /system/info", headers=ADMIN)).status == 200  # nobody is shut out


@dataclass
class Record:
    qualified: str


class Calls:
    async def get(self, id: str) -> Any:  # noqa: A002
        if id not in ("mine", "other"):
            raise NotFound("there is none")
        return Record("upper.openfaas-fn" if id == "mine" else "other.openfaas-fn")


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("GET /system/calls/mine", True),
        ("GET /system/calls/mine/result", True),
        ("DELETE /system/calls/mine", True),
        ("POST /system/calls/mine/retry", False),
        ("GET /system/calls/other", False),
        ("DELETE /system/calls/other", False),
        ("GET /system/calls/none", False),
        ("GET /system/calls", False),
        ("GET /system/calls/", False),
    ],
)
async def test_who_may_invoke_a_function_may_look_after_a_call_of_it(
    closed: System, line: str, allowed: bool
) -> None:
    async def inside(scope: Any, receive: Any, send: Any) -> None:
        await plain(200, "inside")(scope, receive, send)

    assert closed.parts.guard is not None
    ask = Asgi(Guarded(inside, closed.parts.guard, calls=Calls()))
    answer = await ask(line, headers=closed.token("invoke:upper"))
    assert answer.status == (200 if allowed else 403)
    assert (await ask(line)).status == 401
    assert (await ask(line, headers=closed.token("admin", name="admin"))).status == 200


async def test_a_token_may_stand_in_for_the_password_of_basic_auth(closed: System) -> None:
    secret = closed.tokens.create("cli", scopes=["read"])
    headers = {"Authorization": basic("whoever", secret)}
    assert (await closed.ask("GET /system/functions", headers=headers)).status == 200
    assert (await closed.ask("POST /system/functions", UPPER, headers=headers)).status == 403


@pytest.mark.parametrize(
    "value",
    ["Basic", "Basic ###", "Basic YQ==", "Bearer", "Digest x", "x", "Basic " + "A" * 8000,
     basic("admin", "wrong"), basic("root", "secret"), basic("admin", ""), "Bearer \xff"],
)  # fmt: skip
async def test_what_is_no_login_is_a_401(closed: System, value: str) -> None:
    answer = await closed.ask("GET /system/functions", headers={"Authorization": value})
    assert answer.status == 401
    assert "secret" not in answer.text


async def test_two_logins_in_one_request_are_refused(closed: System) -> None:
    headers = [("Authorization", ADMIN["Authorization"]), ("Authorization", "Bearer x")]
    assert (await closed.ask("GET /system/functions", headers=headers)).status == 400


async def test_a_removed_token_is_useless_at_once(closed: System) -> None:
    headers = closed.token("read", name="gone")
    assert (await closed.ask("GET /system/functions", headers=headers)).status == 200
    closed.tokens.remove("gone")
    assert (await closed.ask("GET /system/functions", headers=headers)).status == 401


async def test_guessing_is_slowed_down_for_the_guesser_alone(closed: System) -> None:
    wrong = {"Authorization": basic("admin", "guess")}
    for _ in range(10):
        assert (await closed.ask("GET /system/functions", headers=wrong)).status == 401
    answer = await closed.ask("GET /system/functions", headers=wrong)
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 6
    assert (await closed.ask("GET /system/functions", headers=ADMIN)).status == 429
    token = closed.token("read")
    assert (await closed.ask("GET /system/functions", headers=token)).status == 200
    elsewhere = Asgi(closed.app, client=("192.0.2.9", 1))
    assert (await elsewhere("GET /system/functions", headers=ADMIN)).status == 200


async def test_calls_are_counted_for_each_client_and_token(tmp_path: Path) -> None:
    options = AuthOptions(call_rate=Rate(2, 60), system_rate=Rate(3, 60), calls=True)
    async with system(tmp_path, options=options) as opened:
        await opened.ask("POST /system/functions", UPPER, headers=ADMIN)
        first, second = opened.token("invoke:*", name="a"), opened.token("invoke:*", name="b")
        for token in (first, second):
            for _ in range(2):
                assert (await opened.ask("GET /function/upper", headers=token)).status == 200
            answer = await opened.ask("GET /function/upper", headers=token)
            assert answer.status == 429
            assert int(answer.headers["retry-after"]) > 0
        for _ in range(2):
            assert (await opened.ask("GET /system/functions", headers=ADMIN)).status == 200
        assert (await opened.ask("GET /system/functions", headers=ADMIN)).status == 429
        assert (await opened.ask("GET /healthz")).status == 200


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_page_of_another_site_can_neither_deploy_nor_invoke(
    no_auth: System, closed: System, headers: dict[str, str]
) -> None:
    for opened, login in ((no_auth, {}), (closed, ADMIN)):
        for line, body in (
            ("POST /system/functions", {**UPPER, "service": "evil"}),
            ("DELETE /system/functions", {"functionName": "upper"}),
            ("POST /ui/functions/upper/invoke", b""),
            ("POST /function/mine", b"x"),
        ):
            if line.endswith("mine") and not login:
                line = "POST /function/upper"
            answer = await opened.ask(line, body, headers={**login, **headers})
            assert answer.status == 403, line
        names = await opened.ask("GET /system/functions", headers=login)
        assert "upper" in names.text
        assert "evil" not in names.text


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_link_or_picture_of_another_site_invokes_nothing_without_auth(
    no_auth: System, headers: dict[str, str]
) -> None:
    answer = await no_auth.ask("GET /function/upper", headers=headers)
    assert answer.status == 403
    assert (await no_auth.ask("GET /system/functions", headers=headers)).status == 200


async def test_a_websocket_of_another_site_is_refused_without_auth(no_auth: System) -> None:
    answer = await no_auth.ask(
        "GET /function/upper", headers={"Origin": "http://evil.example"}, kind="websocket"
    )
    assert answer.status == 403


@pytest.mark.parametrize("headers", OURS, ids=str)
async def test_our_own_pages_and_programs_may_do_all(
    no_auth: System, closed: System, headers: dict[str, str]
) -> None:
    for opened, login in ((no_auth, {}), (closed, ADMIN)):
        answer = await opened.ask("POST /system/functions", UPPER, headers={**login, **headers})
        assert answer.status == 202
        assert (await opened.ask("POST /function/upper", b"x", headers=headers)).body == b"X"


async def test_pages_of_other_sites_may_call_open_functions_of_a_server_with_auth(
    closed: System,
) -> None:
    headers = {"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}
    assert (await closed.ask("POST /function/upper", b"x", headers=headers)).body == b"X"


async def test_a_page_that_shows_a_token_may_what_the_token_may(closed: System) -> None:
    headers = {"Origin": "https://ops.example", "Sec-Fetch-Site": "cross-site"}
    token = closed.token("deploy")
    answer = await closed.ask("POST /system/functions", UPPER, headers={**headers, **token})
    assert answer.status == 202


async def test_a_trusted_origin_may_what_its_user_may(tmp_path: Path) -> None:
    trusted = Origins(origins=frozenset({"https://ops.example"}))
    async with system(tmp_path, options=AuthOptions(origins=trusted)) as opened:
        headers = {**ADMIN, "Origin": "https://ops.example", "Sec-Fetch-Site": "cross-site"}
        assert (await opened.ask("POST /system/functions", UPPER, headers=headers)).status == 202


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8080", True),
        ("localhost:8080", True),
        ("LOCALHOST", True),
        ("app.localhost:8080", True),
        ("[::1]:8080", True),
        ("192.0.2.1", True),
        ("gateway.internal:8080", True),
        ("evil.example:8080", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("127.0.0.1@evil.example", False),
        ("xlocalhost", False),
    ],
)
async def test_a_name_that_was_pointed_at_us_is_not_ours(
    tmp_path: Path, host: str, known: bool
) -> None:
    origins = Origins(hosts=frozenset({"gateway.internal"}))
    async with system(tmp_path, options=AuthOptions(no_auth=True, origins=origins)) as opened:
        for line in ("GET /system/functions", "GET /healthz", "GET /ui/", "POST /function/x"):
            answer = await opened.ask(line, headers={"Host": host})
            assert (answer.status == 421) is not known, line


async def test_without_auth_two_hosts_are_none_and_a_unix_socket_needs_none(
    no_auth: System,
) -> None:
    twice = [("Host", "localhost"), ("Host", "evil.example")]
    assert (await no_auth.ask("GET /system/functions", headers=twice)).status == 400
    unix = Asgi(no_auth.app, host="whatever", server=("/run/wherry.sock", None), client=None)
    assert (await unix("GET /system/functions")).status == 200


@pytest.mark.parametrize(
    "listen", ["127.0.0.1:8080", "127.8.0.1:1", "[::1]:8080", "localhost:8080", "::1",
               "unix:/run/wherry.sock", "/run/wherry.sock"],
)  # fmt: skip
def test_no_auth_is_allowed_where_only_this_machine_can_reach(listen: str) -> None:
    check_no_auth(listen)


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8080", "[::]:8080", ":8080", "192.0.2.1:80", "example.org:80", "*:80",
               "localhost.example:80", "", "[::ffff:192.0.2.1]:80"],
)  # fmt: skip
def test_no_auth_is_refused_on_any_other_address(listen: str) -> None:
    with pytest.raises(UsageError, match="--no-auth"):
        check_no_auth(listen)


async def test_what_the_document_says_of_scopes_is_what_the_guard_asks_for(
    closed: System,
) -> None:
    for operation in described(closed.parts):
        path = operation.path.format(name="x", namespace="x", id="x", schedule="x")
        assert needed(path, operation.method) == operation.needs, operation.name
