"""The contract itself is tested: an engine broken on purpose fails a named test, and in time."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.support import broken_engines as broken
from tests.support import programs
from tests.support.memory_harness import harness_of

from wherry.models import Exit
from wherry.testing import MemoryContainer, MemoryEngine

Check = Callable[..., Coroutine[Any, Any, None]]
Break = Callable[[], MemoryEngine]
PATIENCE = 0.7


def part(name: str) -> ModuleType:
    """Load a part of the contract, which pytest imports under a name of its own."""
    path = Path(__file__).with_name(f"test_{name}.py")
    spec = importlib.util.spec_from_file_location(f"contract_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


events, stdin, leaving = part("events"), part("stdin"), part("leaving")


def container(kind: type[MemoryContainer]) -> Break:
    return lambda: broken.engine_of(kind)


CASES: list[tuple[Break, Check, dict[str, object]]] = [
    (container(broken.NeverEndsStdin), stdin.test_empty_stdin_is_immediate_end_of_file, {}),
    (
        container(broken.NeverEndsStdin),
        stdin.test_the_end_of_stdin_is_a_half_close_and_output_goes_on,
        {},
    ),
    (
        container(broken.ClosesOutputWithStdin),
        stdin.test_the_end_of_stdin_is_a_half_close_and_output_goes_on,
        {},
    ),
    (container(broken.InventsExits), events.test_no_exit_is_invented_when_the_engine_fails, {}),
    (
        container(broken.ExitsBeforeItsOutput),
        events.test_exit_comes_last_and_once_after_all_output_of_both_streams,
        {"program": programs.OUT_ERR_3, "size": 4, "ended": Exit(3)},
    ),
    (
        container(broken.SwallowsSourceErrors),
        stdin.test_an_error_in_the_source_kills_the_container_and_comes_out_as_itself,
        {},
    ),
    (
        container(broken.ReadsOneStreamFirst),
        events.test_an_unread_stream_cannot_block_the_other,
        {"program": programs.STDERR_FIRST},
    ),
    (
        container(broken.MixesStreams),
        events.test_a_non_zero_exit_is_an_event_and_the_streams_stay_apart,
        {},
    ),
    (container(broken.BuffersWithoutLimit), events.test_a_slow_reader_stops_the_writer, {}),
    (
        container(broken.BuffersWithoutLimit),
        stdin.test_a_container_that_does_not_read_stops_the_source,
        {},
    ),
    (
        container(broken.HidesOutOfMemory),
        events.test_out_of_memory_is_told_apart_from_an_ordinary_137,
        {},
    ),
    (
        container(broken.KillsOnlyOnce),
        events.test_kill_is_idempotent_and_harmless_after_the_end,
        {},
    ),
    (
        container(broken.ForgetsItsId),
        events.test_every_container_carries_its_invocation_id,
        {},
    ),
    (
        container(broken.WaitsForStdin),
        stdin.test_early_exit_ends_the_invocation_despite_silent_stdin,
        {},
    ),
    (
        broken.LeaksWhenLeftByAnError,
        leaving.test_a_cancelled_caller_leaves_nothing_behind,
        {"program": programs.PARTIAL},
    ),
    (
        broken.LeaksWhenLeftByAnError,
        leaving.test_an_error_in_the_block_comes_out_as_itself,
        {"program": programs.PARTIAL},
    ),
    (
        broken.GroupsErrors,
        leaving.test_an_error_in_the_block_comes_out_as_itself,
        {"program": programs.PARTIAL},
    ),
]
FAILURES = (AssertionError, TimeoutError, pytest.fail.Exception, OSError, ExceptionGroup)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("break_it", "check", "parameters"),
    CASES,
    ids=[f"{check.__name__.removeprefix('test_')}-{n}" for n, (_, check, _) in enumerate(CASES)],
)
async def test_a_broken_engine_fails_the_contract_and_does_not_hang(
    break_it: Break, check: Check, parameters: dict[str, object]
) -> None:
    await check(harness_of(MemoryEngine(), patience=PATIENCE), **parameters)
    before = asyncio.all_tasks()
    try:
        with pytest.raises(FAILURES):
            await check(harness_of(break_it(), patience=PATIENCE), **parameters)
    finally:
        for task in asyncio.all_tasks() - before:
            task.cancel()
