"""The example's form parser: files of forms, however the form is cut."""

from __future__ import annotations

import asyncio
import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.asgi import Asgi

import wherry
from wherry import AsyncClient, Function
from wherry.testing import MemoryEngine

PATH = Path(__file__).parents[2] / "examples" / "hydra" / "upload.py"


def _loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hydra_upload", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


upload: Any = _loaded()
FIELD = b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n%s\r\n'
FILE = (
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="a b.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n%s\r\n"
)
END = b"--B--\r\n"


def read(form: bytes, cuts: list[int]) -> tuple[bytes, Any]:
    part = upload.FilePart(b"B")
    edges = [0, *sorted(min(cut, len(form)) for cut in cuts), len(form)]
    found = b"".join(part.feed(form[a:b]) for a, b in pairwise(edges))
    return found, part


@given(
    st.binary(max_size=60).filter(lambda data: b"--B" not in data),
    st.lists(st.integers(0, 300), max_size=8),
)
def test_the_file_comes_out_as_it_was(data: bytes, cuts: list[int]) -> None:
    for form in (FILE % data + END, FIELD % b"1" + FIELD % b"" + FILE % data + FIELD % b"2" + END):
        found, part = read(form, cuts)
        assert (found, part.done, part.filename) == (data, True, "a b.txt")


def test_what_looks_like_the_end_and_is_not_belongs_to_the_file() -> None:
    data = b"\r\n--\r\n-B\r\n\r\n--A"
    assert read(FILE % data + END, list(range(200)))[0] == data


def test_a_form_without_a_file_is_told() -> None:
    with pytest.raises(upload.NotAFormError, match="no file"):
        read(FIELD % b"1" + END, [])


def test_a_form_that_never_comes_to_its_file_is_told() -> None:
    with pytest.raises(upload.NotAFormError, match="16 KiB"):
        read(b"--B\r\n" + b"x" * 20_000, [])


def test_a_form_that_is_not_over_has_no_more_than_is_certain() -> None:
    part = upload.FilePart(b"B")
    assert part.feed((FILE % b"hello").removesuffix(b"\r\n") + b"\r\n--") == b"hell"
    assert not part.done
    assert part.feed(b"B--\r\n") == b"o"
    assert part.done


async def test_the_file_streams_in_while_the_answer_streams_out() -> None:
    asked: asyncio.Queue[Any] = asyncio.Queue()
    said: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Any) -> None:
        said.put_nowait(message)

    upper = Function(name="upper", image="busybox", command=("tr", "a-z", "A-Z"))
    async with AsyncClient(MemoryEngine()) as client, asyncio.timeout(20):
        app = upload.Upload(wherry.asgi(upper, client=client, stream=True), media_type="a/b")
        headers = {"Content-Type": "multipart/form-data; boundary=B", "Content-Length": "9999"}
        answering = asyncio.ensure_future(app(Asgi(app).scope("POST /", headers), asked.get, send))
        begin = (FILE % b"").removesuffix(b"\r\n")
        asked.put_nowait({"type": "http.request", "body": begin + b"hello....", "more_body": True})
        start = await said.get()
        assert (b"content-type", b"a/b") in start["headers"]
        assert (await said.get())["body"] == b"HELLO"[:4]
        asked.put_nowait({"type": "http.request", "body": b"\r\n" + END, "more_body": False})
        await answering
    rest = b"".join(said.get_nowait().get("body", b"") for _ in range(said.qsize()))
    assert rest == b"O...."
