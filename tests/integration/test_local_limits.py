"""Limits of the real local engine: kept, or refused before the start."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from wherry.errors import Unsupported
from wherry.models import Exit

if TYPE_CHECKING:
    from tests.support.local_calls import Calls

MIB = 1 << 20
FILL = "dd if=/dev/zero of={} bs=64k count={} 2>&1 | grep -c 'No space left'"


async def test_a_memory_limit_is_kept_or_refused(calls: Calls) -> None:
    hungry = "dd if=/dev/zero of=/dev/null bs=128M count=1"
    if not calls.can_limit_memory:
        with pytest.raises(Unsupported, match=r"limits.memory = 33554432 cannot be enforced here"):
            await calls.sh(hungry, memory=32 * MIB)
        with pytest.raises(Unsupported, match=r"run as root, or .*systemd-run --user"):
            await calls.sh("true", memory=32 * MIB)
        return
    result = await calls.run(*hungry.split(), memory=32 * MIB)
    assert result.exit == Exit(137, "oom")
    assert (await calls.run(*hungry.split(), memory=512 * MIB)).exit == Exit(0)


async def test_out_of_memory_in_a_child_is_told_as_the_programs_own_end(calls: Calls) -> None:
    if not calls.can_limit_memory:
        return
    script = "dd if=/dev/zero of=/dev/null bs=128M count=1; echo survived; exit 3"
    result = await calls.sh(script, memory=32 * MIB)
    assert (result.stdout, result.exit) == (b"survived\n", Exit(3))


async def test_files_written_to_memory_count_as_memory(calls: Calls) -> None:
    if not calls.can_limit_memory:
        return
    result = await calls.run("dd", "if=/dev/zero", "of=/x", "bs=1M", "count=128", memory=32 * MIB)
    assert result.exit == Exit(137, "oom")


async def test_a_cpu_limit_is_kept_or_refused(calls: Calls) -> None:
    busy = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"
    if not calls.engine.cgroups.support.cpu:
        with pytest.raises(Unsupported, match=r"limits.cpus = 0.5 cannot be enforced here"):
            await calls.sh(busy, cpus=0.5)
        return
    script = f"{busy}; awk '{{ print $14 + $15 }}' /proc/$$/stat"
    began = time.monotonic()
    (ticks,) = await calls.lines(script, cpus=0.1)
    took = time.monotonic() - began
    assert took > int(ticks) / 100 * 3


async def test_more_processes_than_the_limit_cannot_be_made(calls: Calls) -> None:
    script = """
        i=0; while [ $i -lt 40 ]; do sleep 30 2>/dev/null & i=$((i+1)); done
        set -- /proc/[0-9]*; echo $#"""
    result = await calls.run("sh", "-c", f"({script})", pids=20)
    assert b"can't fork" in result.stderr
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 0.1 & done; wait; echo ok"
    assert await calls.lines(script, pids=20) == ["ok"]


async def test_what_is_written_is_bounded_in_all_places_together(calls: Calls) -> None:
    room = 8 * MIB
    for place in ("/x", "/tmp/x", "/dev/shm/x", "/var/tmp/x", "/etc/x"):
        assert await calls.lines(FILL.format(place, 160), tmp=room) == ["1"], place
    script = "; ".join(
        [
            "dd if=/dev/zero of=/dev/shm/x bs=64k count=48 2>/dev/null",
            "dd if=/dev/zero of=/tmp/x bs=64k count=48 2>/dev/null",
            FILL.format("/x", 48),
        ]
    )
    assert await calls.lines(script, tmp=room) == ["1"]
    assert (await calls.lines(script + "; true", tmp=2 * room)) == ["0"]


async def test_what_is_written_is_bounded_with_a_read_only_root_too(calls: Calls) -> None:
    for place in ("/tmp/x", "/run/x", "/dev/shm/x"):
        assert await calls.lines(FILL.format(place, 160), tmp=8 * MIB, read_only=True) == ["1"]


async def test_a_million_empty_files_are_bounded_as_well(calls: Calls) -> None:
    """Inodes take kernel memory; a tmpfs counts them too."""
    (free,) = await calls.lines("df -i /tmp | awk 'NR == 2 { print $4 }'", tmp=8 * MIB)
    assert 0 < int(free) < 10_000_000


async def test_space_is_given_back_when_files_go(calls: Calls) -> None:
    script = "for i in 1 2 3 4 5 6; do dd if=/dev/zero of=/x bs=1M count=6 2>/dev/null || exit 1; rm /x; done"  # noqa: E501
    assert (await calls.sh(script, tmp=8 * MIB)).exit == Exit(0)


async def test_limits_that_are_not_set_do_not_stand_in_the_way(calls: Calls) -> None:
    script = "dd if=/dev/zero of=/x bs=1M count=64 2>/dev/null; wc -c < /x; i=0; while [ $i -lt 100 ]; do sleep 1 & i=$((i+1)); done; echo ok"  # noqa: E501
    assert await calls.lines(script) == [str(64 * MIB), "ok"]
