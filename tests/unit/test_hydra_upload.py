"""The example's form parser: files of forms, however the form is cut."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
