"""A registry that does what the real one on this machine never does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.support.fake_registry import FakeRegistry, fake_registry
from tests.support.odd_pulling import IMAGE, Waits

from wherry.images.retries import Retries
from wherry.images.transport import Wire


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    """Serve a fake registry with one small image in it."""
    async with fake_registry() as served:
        served.add(IMAGE)
        yield served


@pytest.fixture
def waits() -> Waits:
    """Return the pauses that were asked for."""
    return Waits()


@pytest.fixture
def wire(waits: Waits) -> Wire:
    """Return a wire that makes no pause between attempts."""
    return Wire(retries=Retries(sleep=waits, jitter=lambda: 1.0))
