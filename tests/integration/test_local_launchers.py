"""The compiled launcher and the one in Python: no call can tell which of them started it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.local_calls import Calls, calls_on
from tests.support.require import missing

from wherry.engines.local.launching import compiled_launcher
from wherry.errors import WherryError
from wherry.models import Collect, File, Mount, Secret

SEEN = """
    id; pwd; umask; env | sort; ulimit -a; cat /proc/self/mounts /proc/self/limits; hostname
    grep -E 'Sig[BIC]|Cap|NoNew|Seccomp:|[UG]id|Groups' /proc/self/status; ls /proc/self/fd
    cut -d ' ' -f 4-8 /proc/self/stat; cat /proc/self/oom_score_adj /proc/self/coredump_filter
    readlink /proc/self/ns/* | cut -d : -f 1; cat /proc/self/uid_map /proc/self/gid_map
    echo err >&2; exit 3"""
FULL = "dd if=/dev/zero of={} bs=64k count=200 2>&1 | tail -n 1 | cut -d ' ' -f 1,2"

CASES: dict[str, tuple[str, dict[str, object]]] = {
    "all that can be seen": (SEEN, {"hostname": "ferry"}),
    "a user": (SEEN, {"hostname": "ferry", "user": "ferryman:boats", "workdir": "/srv/x"}),
    "limits": (SEEN, {"hostname": "ferry", "pids": 33, "tmp": 7 << 20}),
    "read-only": ("touch /x; touch /tmp/x /run/x; ls /tmp /run", {"read_only": True}),
    "a full disk": (FULL.format("/x"), {"tmp": 4 << 20}),
    "a full /tmp": (FULL.format("/tmp/x"), {"tmp": 4 << 20, "read_only": True}),
    "full shared memory": (FULL.format("/dev/shm/x"), {"tmp": 4 << 20}),
    "files and secrets": (
        "cat /in /run/secrets/key; ls -l /in /run/secrets | cut -c 1-10",
        {
            "files": (File(target="/in", data=b"in\n", mode=0o700),),
            "secrets": (Secret(name="key", value=b"open\n"),),
        },
    ),
    "a tmpfs": (
        "df /cache | tail -n 1 | cut -c 1-20; pwd",
        {"mounts": (Mount(target="/cache", type="tmpfs", size=1 << 20),), "workdir": "/cache/a"},
    ),
    "no such program": ("exec no-such", {"entrypoint": ("no-such",)}),
    "no such directory": ("true", {"workdir": "/etc/passwd"}),
    "a signal": ("kill -SEGV $$", {}),
    "a broken pipe": ("yes | head -n 1", {}),
    "a process too many": (
        "(i=0; while [ $i -lt 40 ]; do sleep 9 > /dev/null 2>&1 & i=$((i+1)); done)",
        {"pids": 20},
    ),
}


@pytest.fixture
async def both(local_data: Path) -> AsyncIterator[tuple[Calls, Calls]]:
    if compiled_launcher() is None:
        missing("a compiled launcher")
    async with (
        calls_on(local_data) as compiled,
        calls_on(local_data, compiled_launcher=False) as interpreted,
    ):
        yield compiled, interpreted


async def outcome(calls: Calls, script: str, fields: dict[str, object]) -> str:
    try:
        result = await calls.sh(script, **fields)
    except WherryError as error:
        return f"{type(error)} {error}"
    text = f"{result.exit} {result.stdout.decode()} {result.stderr.decode()}"
    return re.sub(r"wherry-container\S+|pipe:\[\d+\]", "", text)


@pytest.mark.parametrize("case", CASES)
async def test_both_launchers_come_to_the_same(both: tuple[Calls, Calls], case: str) -> None:
    script, fields = CASES[case]
    compiled, interpreted = [await outcome(calls, script, fields) for calls in both]
    assert interpreted == compiled


async def test_both_collect_the_same(both: tuple[Calls, Calls], tmp_path: Path) -> None:
    found = []
    for number, calls in enumerate(both):
        to = tmp_path / str(number)
        collect = (Collect(path="/out", to=str(to)),)
        await calls.sh("mkdir -p /out/a; echo 1 > /out/a/b; echo 2 > /out/c", collect=collect)
        found.append({str(path.relative_to(to)) for path in to.rglob("*")})
    assert found == [{"a", "a/b", "c"}] * 2


async def test_both_bound_memory_where_it_can_be_bounded(both: tuple[Calls, Calls]) -> None:
    for calls in both:
        if calls.can_limit_memory:
            hungry = "dd if=/dev/zero of=/dev/null bs=128M count=1"
            result = await calls.run(*hungry.split(), memory=32 << 20)
            assert result.exit.reason == "oom"
        else:
            assert "ulimit" not in await outcome(calls, "ulimit -d", {})
