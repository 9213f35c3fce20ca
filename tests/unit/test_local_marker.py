"""What a sandbox says of itself on its command line."""

from __future__ import annotations

import dataclasses
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.waiting import waiting_process

from wherry.engines.local import marker
from wherry.engines.local.marker import Marker, Owner
from wherry.models import new_id

ME = marker.this_process()
TEXT = st.text(st.characters(), max_size=30)
MARKERS = st.builds(
    Marker,
    id=TEXT,
    owner=st.builds(
        Owner,
        pid=st.integers(1, 1 << 22),
        start=st.integers(0, 1 << 63),
        namespace=st.integers(0, 1 << 32),
    ),
    function=TEXT,
    image=TEXT,
    labels=st.dictionaries(TEXT, TEXT, max_size=4),
)


@given(made=MARKERS)
def test_a_marker_reads_back_as_it_was_written(made: Marker) -> None:
    written = str(made)
    assert Marker.parse(written) == made
    assert written.isascii()
    assert "\0" not in written


@given(text=st.one_of(st.text(), st.text().map(lambda text: f"wherry-sandbox {text}")))
def test_any_other_word_is_no_marker_and_no_error(text: str) -> None:
    assert Marker.parse(text) is None or text.startswith("wherry-sandbox {")


@given(made=MARKERS, at=st.integers(0, 200), with_=st.sampled_from('{}[]":,0x\\'))
def test_a_marker_with_a_wrong_letter_is_no_error(made: Marker, at: int, with_: str) -> None:
    written = str(made)
    at %= len(written)
    Marker.parse(written[:at] + with_ + written[at + 1 :])
    Marker.parse(written[:at])


@pytest.mark.parametrize(
    "text",
    [
        '{"id":1,"owner":"1-1-1","function":"f","image":"i","labels":{}}',
        '{"id":"x","owner":"1-1","function":"f","image":"i","labels":{}}',
        '{"id":"x","owner":"1-1-1","function":"f","image":"i","labels":[]}',
        '{"id":"x","owner":"1-1-1","function":"f","image":"i","labels":{"a":1}}',
        '{"id":"x","owner":null,"function":"f","image":"i","labels":{}}',
        "[" * 100_000,
        "7",
        "null",
    ],
)
def test_what_only_looks_like_a_marker_is_none(text: str) -> None:
    assert Marker.parse(f"wherry-sandbox {text}") is None


def test_this_process_is_not_gone_and_a_later_one_with_its_pid_is_another() -> None:
    assert not ME.is_gone()
    assert dataclasses.replace(ME, start=ME.start - 1).is_gone()
    assert Owner.parse(str(ME)) == ME


def test_a_process_that_has_ended_is_gone_also_before_it_is_reaped() -> None:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert marker.start_time(pid) is None
    assert Owner(pid=pid, start=1, namespace=ME.namespace).is_gone()
    os.waitpid(pid, 0)
    assert marker.start_time(pid) is None
    assert marker.marker_of(pid) is None


def test_an_owner_in_another_namespace_is_never_called_gone() -> None:
    assert not dataclasses.replace(ME, start=0, namespace=ME.namespace + 1).is_gone()


def a_marker(**fields: str) -> Marker:
    return Marker(**{"id": new_id(), "owner": ME, "function": "f", "image": "i", **fields})  # type: ignore[arg-type]


def test_a_marker_is_found_in_the_first_words_of_a_command_line() -> None:
    made = a_marker(function="ünïcode \udcff")
    for words in ((str(made),), ("sh", str(made)), ("sh", "x", str(made))):
        with waiting_process(*words) as pid:
            assert marker.marker_of(pid) == made
            assert [seen.marker for seen in marker.sightings() if seen.pid == pid] == [made]
    with waiting_process("sh", "x", "y", str(made)) as pid:
        assert marker.marker_of(pid) is None


def test_a_sighting_knows_whose_it_is_and_since_when() -> None:
    with waiting_process(str(a_marker())) as pid:
        (seen,) = [seen for seen in marker.sightings() if seen.pid == pid]
    assert seen.uid == os.getuid()
    started = os.stat("/proc/self").st_ctime  # noqa: PTH116
    assert abs(seen.started - started) < 24 * 3600


def test_a_process_is_found_at_once_although_it_is_in_its_execve() -> None:
    for _ in range(100):
        made = a_marker()
        with waiting_process(str(made)) as pid:
            assert marker.marker_of(pid) == made
