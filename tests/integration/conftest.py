"""What the tests of the real local engine share, and those of queues."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.support.dispatching import producer, queue  # noqa: F401 - fixtures
from tests.support.local_calls import Calls, calls_on, data_with_busybox


@pytest.fixture(scope="session")
def local_data() -> Iterator[Path]:
    """Make a data directory with the image ``busybox``, once."""
    with data_with_busybox() as data:
        yield data


@pytest.fixture
async def calls(local_data: Path) -> AsyncIterator[Calls]:
    """Make a local engine on it."""
    async with calls_on(local_data) as calls:
        yield calls
