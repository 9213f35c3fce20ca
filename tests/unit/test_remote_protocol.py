"""What the remote engine and its server say to each other, and what they refuse to believe."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry import wire
from wherry.engines import connect
from wherry.engines.remote import protocol
from wherry.engines.remote.address import parse_address
from wherry.engines.remote.portable import call_document, function_document
from wherry.engines.remote.protocol import Frames, Garbled, frame
from wherry.errors import (
    Busy,
    EngineError,
    ImageNotFound,
    ProgramNotFound,
    TooLarge,
    Unsupported,
    UsageError,
)
from wherry.models import Collect, Exit, File, Function, Invocation, Secret
from wherry.remote.calling import Budget, FramesOf, read_call, read_function

ID = "0123456789abcdef" * 2


def invocation(**fields: Any) -> Invocation:
    return Invocation(function=Function(name="f", image="busybox", **fields), id=ID)


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


@given(
    st.lists(st.tuples(st.sampled_from([b"C", b"I", b"E", b"O"]), st.binary(max_size=50))),
    st.integers(min_value=1, max_value=30),
)
def test_frames_arrive_as_they_were_sent_however_they_are_cut(
    sent: list[tuple[Any, bytes]], size: int
) -> None:
    data = b"".join(frame(kind, payload) for kind, payload in sent)
    frames = Frames()
    found: list[tuple[bytes, bytes]] = []
    for start in range(0, len(data), size):
        found += frames.feed(data[start : start + size])
    assert found == sent


@pytest.mark.parametrize("data", [b"XXXXXX", b"O\xff\xff\xff\xff", b"\0" * 5])
def test_what_is_no_frame_is_no_frame(data: bytes) -> None:
    with pytest.raises(Garbled):
        list(Frames().feed(data))


@pytest.mark.parametrize("ended", [Exit(0), Exit(137, "killed"), Exit(None, "timeout")])
def test_an_exit_arrives_as_it_is(ended: Exit) -> None:
    assert protocol.read_exit(protocol.write_exit(ended)) == ended


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"code": "0", "reason": "exited"}', b'{"code": 0, "reason": "bored"}']
)
def test_an_exit_is_never_invented(data: bytes) -> None:
    with pytest.raises(Garbled):
        protocol.read_exit(data)


@pytest.mark.parametrize("error", [ImageNotFound("no x"), ProgramNotFound("no y"), Busy("later")])
def test_an_error_arrives_as_its_kind_with_its_words(error: Exception) -> None:
    told = json.dumps(protocol.write_error(error)).encode()  # type: ignore[arg-type]
    found = protocol.read_error(told, where="there")
    assert type(found) is type(error)
    assert str(error) in str(found)


def test_an_error_that_nobody_here_knows_is_the_engines() -> None:
    for data in (b"", b"<html>", b'{"type": "KeyboardInterrupt", "error": "x"}', b"[1]"):
        found = protocol.read_error(data, where="there")
        assert type(found) is EngineError


@pytest.mark.parametrize(
    ("spec", "text", "token"),
    [
        ("remote+https://secret@box.example:1718", "remote+https://box.example:1718", "secret"),
        ("remote+http://secret@box", "remote+http://box:1717", "secret"),
        ("remote+http://a%3Ab%40c@[::1]:9", "remote+http://[::1]:9", "a:b@c"),
        ("remote+http://user:pass@box", "remote+http://box:1717", "user:pass"),
        ("remote+http://box", "remote+http://box:1717", "from the side"),
    ],
)
def test_a_servers_address_is_read_and_shown_without_its_token(
    spec: str, text: str, token: str
) -> None:
    if token == "from the side":
        with pytest.raises(UsageError, match="WHERRY_TOKEN"):
            parse_address(spec)
        token = "aside"
    address = parse_address(spec, token="aside")
    assert (str(address), address.token) == (text, token)
    assert token not in repr(address)


@pytest.mark.parametrize(
    "spec",
    [
        "remote+http://secret@",
        "remote+http://secret@box:port",
        "remote+http://secret@box/path",
        "remote+http://secret@box?cert=x",
        "remote+http://secret@box#x",
        "remote+http://sec%0d%0aret@box",
        "remote+htps://secret@box",
        "remotes://user:secret@box",
    ],
)
def test_an_address_that_is_none_is_refused_without_saying_its_token(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(spec)
    assert "secret" not in str(caught.value)
    assert "sec" not in str(caught.value).replace("remote", "")


def test_files_and_secrets_of_this_machine_go_along(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\0content")
    (tmp_path / "secret").write_text("hush")
    asked = read_call(
        call_document(
            invocation(
                files=(File(target="/a", source=str(tmp_path / "file"), mode=0o600),),
                secrets=(
                    Secret(name="one", path=str(tmp_path / "secret")),
                    Secret(name="two", value=b"\xff"),
                ),
            ),
            has_stdin=True,
        )
    )
    function = asked.invocation.function
    assert asked.has_stdin
    assert function.files == (File(target="/a", data=b"\0content", mode=0o600),)
    assert [(secret.name, secret.value) for secret in function.secrets] == [
        ("one", b"hush"),
        ("two", b"\xff"),
    ]


@pytest.mark.parametrize(
    ("fields", "kind", "named"),
    [
        ({"collect": (Collect(path="/x", to="/y"),)}, Unsupported, "collect"),
        ({"files": (File(target="/a", source="/proc/missing"),)}, UsageError, "cannot be read"),
        ({"files": (File(target="/a", source="/dev/zero"),)}, UsageError, "regular file"),
        ({"files": (File(target="/a", data=bytes(20 << 20)),)}, TooLarge, "together"),
    ],
)
def test_what_cannot_go_along_is_told_before_anything_starts(
    fields: dict[str, Any], kind: type[Exception], named: str
) -> None:
    with pytest.raises(kind, match=named):
        call_document(invocation(**fields), has_stdin=False)


def call(**changes: Any) -> bytes:
    told = {"invocation": wire.invocation_to_dict(invocation()), "stdin": False, **changes}
    return json.dumps(told).encode()


@pytest.mark.parametrize(
    "function",
    [
        {"files": [{"target": "/x", "source": "/etc/shadow"}]},
        {"secrets": [{"name": "x", "path": "/etc/shadow"}]},
        {"collect": [{"path": "/x", "to": "/etc"}]},
    ],
)
def test_no_file_of_the_server_can_be_named(function: dict[str, Any]) -> None:
    named = {"name": "f", "image": "busybox", **function}
    with pytest.raises(UsageError):
        read_call(call(invocation={"function": named, "id": ID}))
    with pytest.raises(UsageError):
        read_function(json.dumps({"function": named}).encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        call(more=1),
        call(stdin="yes"),
        call(secrets=[]),
        call(secrets={"x": "no base64!"}),
        call(invocation={}),
        call(invocation={"function": {"name": "f", "image": "x"}, "id": "../../x"}),
        call(invocation={"function": {"name": "f", "image": "x"}, "id": "a" * 31}),
    ],
)
def test_a_call_that_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(UsageError):
        read_call(data)


async def test_an_input_that_breaks_off_is_never_taken_for_all_of_it() -> None:
    ended = FramesOf(pieces(frame(protocol.INPUT, b"half"), frame(protocol.END)))
    assert [data async for data in ended.stdin()] == [b"half"]
    for data in (frame(protocol.INPUT, b"half"), frame(protocol.INPUT, b"x") + b"garbage!"):
        with pytest.raises(EngineError, match="broke off"):
            _ = [data async for data in FramesOf(pieces(data)).stdin()]


async def test_calls_hold_no_more_than_they_may_together() -> None:
    big = frame(protocol.CALL, bytes(60))
    budget = Budget(100)
    first = FramesOf(pieces(big, frame(protocol.INPUT, bytes(500))), budget=budget)
    with pytest.raises(UsageError):  # it is no call, and has been counted all the same
        await first.call()
    assert await first.next() == (protocol.INPUT, bytes(500))
    with pytest.raises(Busy):
        await FramesOf(pieces(big), budget=budget).call()
    first.close()
    first.close()
    with pytest.raises(UsageError):
        await FramesOf(pieces(big), budget=budget).call()


def test_what_is_prepared_needs_no_secret() -> None:
    function = invocation(secrets=(Secret(name="one", value=b"hush"),)).function
    document = function_document(function)
    assert base64.b64encode(b"hush") not in document
    assert read_function(document).secrets == ()
