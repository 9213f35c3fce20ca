"""What a function asks for beyond its image, on the real local engine."""

from __future__ import annotations

import asyncio
import os

import pytest
from tests.support.harness import silent
from tests.support.local_calls import Calls, function_of
from tests.support.local_harness import of_this_engine

from wherry import streams
from wherry.errors import EngineError, ImageNotFound, UsageError
from wherry.models import Exit, Invocation
from wherry.wrappers.deadline import Deadline


async def test_the_hostname_is_the_one_asked_for_or_the_calls_id(calls: Calls) -> None:
    script = "hostname; cat /etc/hostname; echo $HOSTNAME"
    assert await calls.lines(script, hostname="ferry.example") == ["ferry.example"] * 3
    invocation = Invocation(function=function_of("hostname"))
    async with calls.engine.start(invocation, streams.NOTHING) as container:
        assert (await streams.collect(container)).stdout.decode() == f"{invocation.id[:12]}\n"


@pytest.mark.parametrize("name", ["", "x" * 65, "two words", "a\nb", "a\0--bind"])
async def test_a_hostname_that_cannot_be_is_refused(calls: Calls, name: str) -> None:
    with pytest.raises(UsageError, match="hostname"):
        await calls.run("true", hostname=name)


async def test_the_name_and_localhost_are_in_etc_hosts(calls: Calls) -> None:
    lines = await calls.lines("cat /etc/hosts", hostname="ferry")
    assert "127.0.0.1 localhost" in lines
    assert "127.0.1.1 ferry" in lines


async def test_a_read_only_root_can_be_written_nowhere_but_in_tmp_and_run(calls: Calls) -> None:
    script = """
        for place in / /etc /bin /var/tmp /tmp /run /dev/shm /dev /proc; do
            if touch $place/file 2>/dev/null; then echo $place; fi
        done"""
    assert await calls.lines(script, read_only=True) == ["/tmp", "/run", "/dev/shm"]
    assert await calls.lines(script) == [
        "/",
        "/etc",
        "/bin",
        "/var/tmp",
        "/tmp",
        "/run",
        "/dev/shm",
    ]


async def test_a_read_only_root_cannot_be_made_writable_again(calls: Calls) -> None:
    result = await calls.sh("mount -o remount,rw /; touch /file", read_only=True)
    assert result.exit.code != 0
    assert b"Read-only file system" in result.stderr


async def test_labels_and_names_are_seen_from_outside_while_it_runs(calls: Calls) -> None:
    labels = {"crew": "anna", "odd": 'a "quote"\n', "ünïcode": "ß"}
    async with calls.start("cat", labels=labels, name="ferry", stdin=silent()) as container:
        (found,) = of_this_engine(calls.engine)
        assert found.marker.labels == labels
        assert (found.marker.function, found.marker.image) == ("ferry", "busybox")
        assert found.marker.id == container.id
        assert found.marker.owner.pid == os.getpid()
        assert not found.is_orphan
        await container.kill()
        await streams.collect(container)
    await calls.engine.settled()
    assert of_this_engine(calls.engine) == []


async def test_a_timeout_keeps_what_was_written_before_it(calls: Calls) -> None:
    limited = Calls(calls.engine, calls.data, around=Deadline(calls.engine))
    result = await limited.sh("echo early; echo trouble >&2; sleep 60", timeout=0.5)
    assert (result.stdout, result.stderr) == (b"early\n", b"trouble\n")
    assert result.exit == Exit(137, "timeout")


async def test_an_image_nobody_has_is_named_and_never_pulled_when_told_so(calls: Calls) -> None:
    with pytest.raises(ImageNotFound, match="'missing' is not on this machine"):
        await calls.run("true", image="missing", pull="never")


async def test_a_closed_engine_starts_nothing_and_keeps_nothing(calls: Calls) -> None:
    await calls.run("true")
    await calls.engine.aclose()
    with pytest.raises(EngineError, match="closed"):
        await calls.run("true")


async def test_an_engine_closed_during_a_start_starts_nothing(calls: Calls) -> None:
    """Whichever comes first: the call runs to its end, or it is refused; it never hangs."""
    calling = [asyncio.create_task(calls.run("sleep", "60")) for _ in range(5)]
    await asyncio.sleep(0)
    await calls.engine.aclose()
    ends = await asyncio.gather(*calling, return_exceptions=True)
    for end in ends:
        assert isinstance(end, EngineError) or end.exit == Exit(137, "killed")  # type: ignore[union-attr]
    await calls.engine.settled()
    assert of_this_engine(calls.engine) == []


@pytest.mark.parametrize("name", ["memory", "cpus", "pids", "tmp"])
@pytest.mark.parametrize("value", [0, -1])
async def test_a_limit_that_is_not_positive_is_refused(calls: Calls, name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"limits.{name} = {value} must be more than 0"):
        await calls.run("true", **{name: value})
