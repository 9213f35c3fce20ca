"""What several kinds of chaos share."""

from __future__ import annotations

from tests.support.dispatching import producer, queue  # noqa: F401 - fixtures
