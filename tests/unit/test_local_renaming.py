"""Changing the id in the command line of a process from outside of it."""

from __future__ import annotations

import dataclasses
import os

import pytest
from tests.support.waiting import waiting_process

from wherry.engines.local import marker, renaming
from wherry.engines.local.marker import Marker
from wherry.models import new_id


def a_marker() -> Marker:
    return Marker(id=new_id(), owner=marker.this_process(), function="f", image="i")


@pytest.mark.parametrize("new", ["0123456789abcdef" * 2, "a", "order-66.a:b_c", "x" * 128])
def test_the_id_of_a_child_can_be_changed_and_nothing_else_of_it(new: str) -> None:
    made = a_marker()
    with waiting_process(str(made)) as pid:
        assert marker.marker_of(pid) == made
        place = renaming.place_of_id(pid, id=made.id)
        assert place is not None
        renaming.rename([pid], place, old=made.id, new=new)
        assert marker.marker_of(pid) == dataclasses.replace(made, id=new)


@pytest.mark.parametrize("new", ["", "x" * 129, '"' + "x" * 31, "ü" * 32, "x" * 31 + "\0"])
def test_an_id_that_does_not_fit_changes_nothing(new: str) -> None:
    made = a_marker()
    with waiting_process(str(made)) as pid:
        assert marker.marker_of(pid) == made  # it is past its execve
        place = renaming.place_of_id(pid, id=made.id)
        assert place is not None
        renaming.rename([pid], place, old=made.id, new=new)
        assert marker.marker_of(pid) == made


def test_another_process_is_not_taken_for_ours() -> None:
    made = a_marker()
    with waiting_process(str(made)) as pid:
        assert marker.marker_of(pid) == made
        assert renaming.place_of_id(pid, id=new_id()) is None
        assert renaming.place_of_id(pid, id=made.id[:-1]) is None
    with waiting_process("sh") as pid:
        assert renaming.place_of_id(pid, id=made.id) is None
    assert renaming.place_of_id(pid, id=made.id) is None
    assert renaming.place_of_id(os.getpid(), id=made.id) is None


def test_a_process_that_is_gone_is_no_error() -> None:
    made = a_marker()
    with waiting_process(str(made)) as pid:
        assert marker.marker_of(pid) == made
        place = renaming.place_of_id(pid, id=made.id)
    assert place is not None
    renaming.rename([pid], place, old=made.id, new=new_id())
