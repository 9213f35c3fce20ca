"""What a CGI program is told of its request: the cases that a mature host is tested with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from tests.support.asgi import Asgi

from wherry.errors import UsageError
from wherry.triggers.cgi.environment import meta_variables, path_info

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    pass


def variables(
    line: str,
    headers: Headers = (),
    *,
    root: str = "",
    length: int | None = None,
    host: str = "example.com",
    **scope: Any,
) -> dict[str, str]:
    made = Asgi(nothing, host=host, client=("10.0.0.7", 40000)).scope(line, headers)
    return meta_variables({**made, **scope}, root=root, length=length)


def test_a_basic_get() -> None:
    found = variables("GET /test.cgi?foo=bar&a=b", {"X-Custom": "1"}, root="/test.cgi")
    software = found.pop("SERVER_SOFTWARE")
    assert software.startswith("wherry/")
    assert found == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": "/test.cgi?foo=bar&a=b",
        "SCRIPT_NAME": "/test.cgi",
        "PATH_INFO": "",
        "QUERY_STRING": "foo=bar&a=b",
        "REMOTE_ADDR": "10.0.0.7",
        "REMOTE_HOST": "10.0.0.7",
        "REMOTE_PORT": "40000",
        "HTTP_HOST": "example.com",
        "HTTP_X_CUSTOM": "1",
    }


def test_an_ipv6_peer_and_an_ipv6_host() -> None:
    found = variables("GET /", host="[2001:db8::1]:8080", client=("::1", 5))
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("::1", "5")
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("[2001:db8::1]", "8080")


def test_a_peer_on_a_unix_socket_has_no_address() -> None:
    found = variables("GET /", client=None, server=("/run/wherry.sock", None))
    assert found["REMOTE_ADDR"] == ""
    assert "REMOTE_PORT" not in found


def test_the_server_name_has_no_port() -> None:
    found = variables("GET /", host="example.com:8443")
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("example.com", "8443")
    assert found["HTTP_HOST"] == "example.com:8443"


def test_without_a_host_header_the_sockets_own_name_is_told() -> None:
    found = variables("GET /", {"Host": ""}, server=("127.0.0.1", 8080))
    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == ("127.0.0.1", "8080")


def test_tls_is_told() -> None:
    found = variables("GET /", scheme="https")
    assert (found["HTTPS"], found["SERVER_PORT"]) == ("on", "443")
    assert "HTTPS" not in variables("GET /")


@pytest.mark.parametrize(
    ("version", "protocol"), [("1.0", "HTTP/1.0"), ("1.1", "HTTP/1.1"), ("2", "HTTP/2.0")]
)
def test_the_protocol_is_the_real_one(version: str, protocol: str) -> None:
    assert variables("GET /", http_version=version)["SERVER_PROTOCOL"] == protocol


@pytest.mark.parametrize(
    ("path", "root", "info"),
    [
        ("/vote", "/vote", ""),
        ("/vote/", "/vote", "/"),
        ("/vote/1/2", "/vote", "/1/2"),
        ("/vote/1", "/vote/", "/1"),
        ("/voters", "/vote", None),
        ("/vot", "/vote", None),
        ("/a", "", "/a"),
        ("/a", "/", "/a"),
    ],
)
def test_the_extra_path_is_what_follows_the_root(path: str, root: str, info: str | None) -> None:
    assert path_info(path, root) == info


def test_a_path_that_is_not_below_the_root_is_refused() -> None:
    with pytest.raises(UsageError, match="'/voters' is not below '/vote'"):
        variables("GET /voters", root="/vote")


@pytest.mark.parametrize("root", ["", "/"])
def test_a_program_at_the_top_has_no_script_name(root: str) -> None:
    found = variables("GET /bar?x=y", root=root)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("", "/bar")


def test_the_extra_path_is_decoded_and_the_uri_is_not() -> None:
    found = variables("GET /cgi/a%20b?c=%20", root="/cgi")
    assert found["PATH_INFO"] == "/a b"
    assert found["REQUEST_URI"] == "/cgi/a%20b?c=%20"
    assert found["QUERY_STRING"] == "c=%20"


def test_repeated_headers_are_joined() -> None:
    found = variables(
        "GET /", [("X-Foo", "1"), ("x-foo", "2"), ("Cookie", "a=1"), ("Cookie", "b=2")]
    )
    assert found["HTTP_X_FOO"] == "1, 2"
    assert found["HTTP_COOKIE"] == "a=1; b=2"


def test_a_proxy_header_does_not_become_the_programs_proxy() -> None:
    found = variables("GET /", [("Proxy", "http://evil"), ("PROXY", "x"), ("Http-Proxy", "fine")])
    assert "HTTP_PROXY" not in found
    assert found["HTTP_HTTP_PROXY"] == "fine"


def test_a_header_with_an_underscore_does_not_pass_for_another() -> None:
    found = variables("GET /", [("X_Real_User", "root"), ("X-Other", "1")])
    assert "HTTP_X_REAL_USER" not in found


def test_a_body_is_told_by_length_and_type() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "7"}
    found = variables("POST /", headers, length=7)
    assert found["CONTENT_LENGTH"] == "7"
    assert found["CONTENT_TYPE"] == "application/x-www-form-urlencoded"
    assert "HTTP_CONTENT_LENGTH" not in found
    assert "HTTP_CONTENT_TYPE" not in found
    assert "CONTENT_LENGTH" not in variables("GET /")


def test_who_the_gateway_knows_is_told_and_how_but_not_the_password() -> None:
    caller: dict[str, Any] = {"wherry.caller": SimpleNamespace(name="user ada")}
    found = variables("GET /", {"Authorization": "basic YWRhOng="}, **caller)
    assert (found["REMOTE_USER"], found["AUTH_TYPE"]) == ("ada", "Basic")
    assert "HTTP_AUTHORIZATION" not in found


def test_who_the_application_around_knows_is_told() -> None:
    user = SimpleNamespace(is_authenticated=True, display_name="grace")
    assert variables("GET /", user=user)["REMOTE_USER"] == "grace"


def test_an_unknown_callers_credentials_are_the_programs_business() -> None:
    anybody: dict[str, Any] = {"wherry.caller": SimpleNamespace(name="anybody")}
    found = variables("GET /", {"Authorization": "Bearer t"}, **anybody)
    assert found["HTTP_AUTHORIZATION"] == "Bearer t"
    assert "REMOTE_USER" not in found


def test_a_path_translated_is_never_told() -> None:
    assert "PATH_TRANSLATED" not in variables("GET /x")


@pytest.mark.parametrize("path", ["/a%00b", "/a%0ab"])
def test_a_path_with_nul_or_newline_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="PATH_INFO"):
        variables(f"GET {path}")
