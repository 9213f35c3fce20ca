"""One place for each user for the whole session; nothing runs after a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.shell import Shell, shell, uid_of, users

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", params=users())
def place(request: pytest.FixtureRequest) -> Iterator[Shell]:
    """A shell as an ordinary user, and as root where we are root."""
    with shell(uid_of(request.param)) as made:
        yield made


@pytest.fixture
def sh(place: Shell) -> Iterator[Shell]:
    """The shell of the session; nothing of the test may still run when it is over."""
    yield place
    assert place.running() == []
