"""What functions are called, and where a name's namespace begins."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import UsageError
from wherry.functions.model import DEFAULT_NAMESPACE
from wherry.functions.names import LONGEST, check_name, check_namespace, place_of, split_name

_ENDS = string.ascii_letters + string.digits


def named(inner: str) -> st.SearchStrategy[str]:
    middle = st.text(_ENDS + inner, max_size=LONGEST - 2)
    both = st.tuples(st.sampled_from(_ENDS), middle, st.sampled_from(_ENDS)).map("".join)
    return both | st.sampled_from(_ENDS)


@given(named("-_."), named("-_"))
def test_a_qualified_name_is_split_into_what_it_was_made_of(name: str, namespace: str) -> None:
    assert split_name(f"{name}.{namespace}") == (name, namespace)
    assert check_name(name, field="x") == name
    assert check_namespace(namespace) == namespace


@given(named("-_"))
def test_a_name_without_a_dot_is_in_the_default_namespace(name: str) -> None:
    assert split_name(name) == (name, DEFAULT_NAMESPACE)
    assert place_of(name) == (name, DEFAULT_NAMESPACE)


@given(named("-_"), named("-_"))
def test_a_namespace_may_stand_beside_a_name_or_behind_it_or_both(name: str, space: str) -> None:
    assert place_of(name, namespace=space) == (name, space)
    assert place_of(f"{name}.{space}", namespace=space) == (name, space)
    assert place_of(f"{name}.{space}") == (name, space)


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_a_usage_error(text: str) -> None:
    try:
        name, namespace = split_name(text)
    except UsageError as error:
        assert "is no name" in str(error)  # noqa: PT017
    else:
        assert set(name + namespace) <= set(_ENDS + "-_.")
        assert name not in ("", ".", "..")
        assert text in (name, f"{name}.{namespace}")


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a/b", "../etc", "-a", "a-", ".a", "a.", "a b", "ä", "a\n", "a\0", "٣",
     "x" * (LONGEST + 1), "a..b", "a.-b"],
)  # fmt: skip
def test_what_is_no_name_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(UsageError, match="is no name") as raised:
        split_name(text)
    assert "63 letters" in str(raised.value)


def test_a_namespace_has_no_dot() -> None:
    with pytest.raises(UsageError, match=r"namespace: 'a\.b' holds a dot"):
        place_of("upper", namespace="a.b")
