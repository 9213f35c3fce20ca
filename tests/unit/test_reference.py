from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import Unsupported, UsageError
from wherry.images.reference import Reference

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("bfirsh/leftpad", "docker.io/bfirsh/leftpad:latest"),
        ("a/b/c", "docker.io/a/b/c:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("localhost:5000/x:2", "localhost:5000/x:2"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("ghcr.io/me/thing", "ghcr.io/me/thing:latest"),
        ("GHCR.io/me/thing", "ghcr.io/me/thing:latest"),
        ("127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("[2001:DB8::1]/x:y", "[2001:db8::1]/x:y"),
        (f"busybox@{DIGEST}", f"docker.io/library/busybox@{DIGEST}"),
        (f"busybox:1@{DIGEST}", f"docker.io/library/busybox:1@{DIGEST}"),
        (f"localhost:5000/x@{DIGEST}", f"localhost:5000/x@{DIGEST}"),
        ("a__b/c-d.e_f---g", "docker.io/a__b/c-d.e_f---g:latest"),
    ],
)
def test_a_reference_is_resolved_as_docker_resolves_it(text: str, canonical: str) -> None:
    assert str(Reference.parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("BusyBox", "did you mean 'busybox'?"),
        ("Bfirsh/leftpad", "did you mean 'bfirsh/leftpad'?"),
        ("ghcr.io/Me/x", "did you mean 'me/x'?"),
        ("busybox:", "tag ''"),
        ("busybox:-x", "tag '-x'"),
        ("busybox:" + "t" * 129, "up to 128"),
        ("busybox@", "no digest"),
        ("busybox@sha256:12", "no digest"),
        ("busybox@sha256:" + "A" * 64, "no digest"),
        ("-bad", "not a valid name"),
        ("a//b", "not a valid name"),
        ("a/b/", "not a valid name"),
        ("/a", "not a valid name"),
        ("a b", "not a valid name"),
        ("busybox\n", "not a valid name"),
        ("../../etc", "not a registry's host"),
        ("a/../b", "not a valid name"),
        ("b\u00fcsybox", "not a valid name"),
        ("http://ghcr.io/x", "not a registry's host"),
        ("-x.io/y", "not a registry's host"),
        ("x:123456/y", "not a registry's host"),
        ("0" * 64, "are an id"),
        ("a" * 256, "more than 255"),
    ],
)
def test_a_wrong_reference_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        Reference.parse(text)
    assert words in str(caught.value)


def test_a_sha512_digest_is_refused_as_unsupported() -> None:
    with pytest.raises(Unsupported, match="sha512"):
        Reference.parse("x@sha512:" + "0" * 128)


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/busybox", "busybox:latest"),
        ("docker.io/me/x:1", "me/x:1"),
        ("ghcr.io/me/x", "ghcr.io/me/x:latest"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest"),
        ("docker.io/a.b/x", "docker.io/a.b/x:latest"),
        (f"busybox@{DIGEST}", f"busybox@{DIGEST}"),
    ],
)
def test_the_familiar_form_is_the_shortest_that_means_the_same(text: str, familiar: str) -> None:
    assert Reference.parse(text).familiar == familiar


def test_docker_hub_answers_under_another_name() -> None:
    assert Reference.parse("busybox").api_host == "registry-1.docker.io"
    assert Reference.parse("localhost:5000/x").api_host == "localhost:5000"


def test_a_reference_can_be_pinned() -> None:
    assert (
        str(Reference.parse("busybox:1").with_digest(DIGEST))
        == f"docker.io/library/busybox@{DIGEST}"
    )


_WORD = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=6)
_PART = st.lists(_WORD, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([".", "_", "__", "-", "---"]).map(lambda glue: glue.join(words))
)
_HOST = st.one_of(
    st.just("localhost"),
    st.lists(_WORD, min_size=2, max_size=3).map(".".join),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
_PORT = st.one_of(st.just(""), st.integers(0, 65535).map(lambda port: f":{port}"))
_TAG = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=12).filter(
    lambda tag: tag[0] not in ".-"
)
_HEX = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:".__add__)


@st.composite
def references(draw: st.DrawFn) -> str:
    registry = draw(st.one_of(st.just(""), st.tuples(_HOST, _PORT).map("".join)))
    path = "/".join(draw(st.lists(_PART, min_size=1, max_size=4)))
    tag = draw(st.one_of(st.just(""), _TAG.map(":".__add__)))
    digest = draw(st.one_of(st.just(""), _HEX.map("@".__add__)))
    return (f"{registry}/" if registry else "") + path + tag + digest


@given(references())
def test_the_canonical_form_means_the_same(text: str) -> None:
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference


@given(references())
def test_the_familiar_form_means_the_same(text: str) -> None:
    reference = Reference.parse(text)
    assert Reference.parse(reference.familiar) == reference
    assert len(reference.familiar) <= len(str(reference))


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UsageError:
        return
    assert Reference.parse(str(reference)) == reference
    assert ".." not in str(reference).split("/")
