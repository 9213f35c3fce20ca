"""The rows, one module per group, in the order of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.rows import (
    cold,
    command,
    dispatch,
    docker,
    http,
    images,
    importing,
    proxy,
    queue,
    ready,
    remote,
    schedules,
    stream,
    sustained,
)

if TYPE_CHECKING:
    from bench.harness import Row

ROWS: tuple[Row[Any], ...] = (
    *cold.ROWS,
    *ready.ROWS,
    *docker.ROWS,
    *proxy.ROWS,
    *sustained.ROWS,
    *command.ROWS,
    *stream.ROWS,
    *http.ROWS,
    *importing.ROWS,
    *images.ROWS,
    *queue.ROWS,
    *dispatch.ROWS,
    *schedules.ROWS,
    *remote.ROWS,
)
