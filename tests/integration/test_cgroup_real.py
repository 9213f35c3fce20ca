"""Control groups on this machine's kernel, as root: limits that bite, and nothing left over."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.require import missing

from wherry.engines.local.cgroup import Cgroups, Support, detect
from wherry.engines.local.cgroup_group import PREFIX, Group
from wherry.engines.local.cgroup_tree import Hierarchy, Tree, hierarchies
from wherry.engines.local.cgroup_v2 import GroupV2, usable_v2
from wherry.errors import EngineError

pytestmark = pytest.mark.root
MIB = 1024 * 1024
RUN = f"test-{uuid.uuid4().hex[:8]}-"
JOINED = """
import os, sys
for path in sys.argv[1].split(os.pathsep):
    with open(path, "w") as file: file.write("0")
print("in", flush=True)
"""


@pytest.fixture(scope="module")
def support() -> Support:
    found = detect()
    if not (found.memory and found.cpu and found.pids):
        missing(f"control groups that root can limit with: {found.reason}")
    return found


@pytest.fixture
def cgroups(support: Support) -> Iterator[Cgroups]:
    cgroups = Cgroups(support)
    yield cgroups
    left = cgroups.find(RUN)
    for group in left:
        group.end()
    cgroups.close()
    assert [group.name for group in left] == []
    assert leftovers(RUN) == []


def leftovers(prefix: str) -> list[Path]:
    return [p for p in Path("/sys/fs/cgroup").rglob(f"{PREFIX}{prefix}*") if p.is_dir()]


@contextmanager
def running(group: Group, script: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program that joined the group by itself before its script began."""
    joining = os.pathsep.join(map(str, group.joining))
    command = [sys.executable, "-ISBc", JOINED + script, joining]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "in\n"
            yield process
        finally:
            group.end()


def test_a_program_over_its_memory_limit_is_killed_and_the_group_knows(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}oom", memory=48 * MIB, cpus=None, pids=None)
    with running(group, "data = bytearray(400 * 1024 * 1024); print('survived')") as process:
        out, _ = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL
        assert out == ""
        assert group.oom_killed()
        peak = group.usage().memory_peak
        assert peak is not None
        assert 24 * MIB < peak <= 48 * MIB


def test_a_program_below_its_memory_limit_is_left_alone(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}fits", memory=96 * MIB, cpus=None, pids=None)
    with running(group, "data = bytearray(40 * 1024 * 1024); print('survived')") as process:
        out, _ = process.communicate(timeout=30)
        assert (process.returncode, out) == (0, "survived\n")
        assert not group.oom_killed()


def test_a_fork_bomb_stops_at_the_limit_of_processes(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}bomb", memory=256 * MIB, cpus=None, pids=12)
    script = """
made = 0
try:
    while made < 200:
        if os.fork() == 0:
            sys.stdin.read(); os._exit(0)
        made += 1
except BlockingIOError:
    print("refused after", made, flush=True)
sys.stdin.read()
"""
    with running(group, script) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "refused after 11\n"
        assert len(group.members()) == 12
        assert group.usage().pids_peak in (12, None)


def test_a_share_of_cpu_time_is_what_a_busy_program_gets(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}cpu", memory=None, cpus=0.25, pids=None)
    script = """
import time
began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 1.5: pass
print((time.process_time() - used) / (time.monotonic() - began), flush=True)
"""
    with running(group, script) as process:
        out, _ = process.communicate(timeout=30)
        assert 0.02 < float(out) < 0.32


def test_killing_ends_everything_in_the_group_and_nothing_else(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}kill", memory=None, cpus=None, pids=40)
    script = """
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        os.fork()
        print("up", flush=True)
        sys.stdin.read()
print("up", flush=True)
sys.stdin.read()
"""
    with running(group, script) as process:
        assert process.stdout is not None
        for _ in range(11):
            assert process.stdout.readline() == "up\n"
        pids = group.members()
        assert len(pids) == 11
        assert os.getpid() not in pids
        group.kill()
        process.wait(timeout=10)
        group.wait_empty(timeout=10)
        group.end()
        assert not any(Path(f"/proc/{pid}/cwd").exists() for pid in pids - {process.pid})


def test_a_fork_bomb_cannot_outrun_the_kill(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}race", memory=256 * MIB, cpus=None, pids=60)
    script = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    try:
        if os.fork() and os.getpid() % 2: os._exit(0)
    except BlockingIOError: pass
"""
    with running(group, script):
        deadline = time.monotonic() + 10
        while len(group.members()) < 40 and time.monotonic() < deadline:
            os.sched_yield()
        began = time.monotonic()
        group.end(timeout=10)
        assert time.monotonic() - began < 5
        assert leftovers(f"{RUN}race") == []


async def test_removing_kills_what_is_left_and_waits_for_its_end(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}remove", memory=None, cpus=None, pids=None)
    with running(group, "sys.stdin.read()") as process:
        assert not group.remove_now()
        await group.remove()
        assert process.wait(timeout=5) == -signal.SIGKILL
        assert leftovers(f"{RUN}remove") == []
        await group.remove()
        assert group.remove_now()
        group.kill()
        assert group.usage().memory_peak is None


def test_a_process_can_be_moved_from_outside(cgroups: Cgroups) -> None:
    group = cgroups.create(f"{RUN}add", memory=None, cpus=1, pids=None)
    with subprocess.Popen(["sleep", "60"]) as process:
        group.add(process.pid)
        assert group.members() == {process.pid}
        group.kill()
        assert process.wait(timeout=5) == -signal.SIGKILL
    group.end()
    with pytest.raises(EngineError, match="cannot move"):
        group.add(os.getpid())


def test_another_process_finds_the_groups_of_one_that_died(support: Support) -> None:
    script = f"""
import os
from wherry.engines.local.cgroup import Cgroups, detect
Cgroups(detect()).create("{RUN}orphan", memory=10**8, cpus=1, pids=5)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    assert leftovers(f"{RUN}orphan") != []
    (found,) = Cgroups(support).find(f"{RUN}orphan")
    assert len(found.directories) == len(leftovers(f"{RUN}orphan"))
    found.end()
    assert leftovers(f"{RUN}orphan") == []


def test_making_a_group_takes_less_than_a_millisecond(cgroups: Cgroups) -> None:
    took = []
    for number in range(50):
        began = time.perf_counter()
        group = cgroups.create(f"{RUN}{number}", memory=64 * MIB, cpus=1, pids=10)
        took.append(time.perf_counter() - began)
        assert group.remove_now()
    assert sorted(took)[25] < 0.001


def test_joining_by_oneself_does_not_wait_for_the_whole_machine(
    cgroups: Cgroups, support: Support
) -> None:
    """A move by pid waits for a grace period: 5 ms and more, most of a whole cold call."""
    if support.layout != "v1":
        missing("cgroup v1, whose `tasks` file takes a single thread")
    group = cgroups.create(f"{RUN}join", memory=64 * MIB, cpus=1, pids=10)
    script = """
import time
def timed():
    time.sleep(0.05)
    began = time.perf_counter()
    for path in sys.argv[1].split(os.pathsep):
        with open(path, "w") as file: file.write("0")
    return time.perf_counter() - began
print(sorted(timed() for _ in range(9))[4])
"""
    with running(group, script) as process:
        out, _ = process.communicate(timeout=30)
        assert float(out) < 0.002


@pytest.fixture
def unified() -> Hierarchy:
    found = hierarchies(root=Path("/sys/fs/cgroup"), proc=Path("/proc/self"))
    v2 = next((h for h in found if h.version == 2), None)
    if v2 is None:
        missing("a cgroup v2 hierarchy")
    return v2


@pytest.fixture
def bare(unified: Hierarchy) -> Iterator[GroupV2]:
    """A v2 group without any controller: what a hybrid host's v2 tree has for us."""
    tree = Tree()
    group = GroupV2(f"{RUN}v2", unified.top / f"{PREFIX}{RUN}v2", tree)
    tree.make(group.directories[0])
    yield group
    group.end()
    assert leftovers(f"{RUN}v2") == []


def test_a_v2_tree_without_our_controllers_is_not_taken_for_limits(unified: Hierarchy) -> None:
    controllers = (unified.own / "cgroup.controllers").read_text().split()
    if {"memory", "pids", "cpu"} & set(controllers):
        missing("a hybrid host, whose v2 tree has no controllers for us")
    before = sorted(unified.top.iterdir())
    assert usable_v2(unified, Tree()) == (None, "no memory, pids or cpu controller in v2")
    assert sorted(unified.top.iterdir()) == before


def test_a_v2_group_is_joined_killed_as_a_whole_and_removed(bare: GroupV2) -> None:
    script = """
for _ in range(5):
    if os.fork() == 0: break
print("up", flush=True)
sys.stdin.read()
"""
    with running(bare, script) as process:
        assert process.stdout is not None
        for _ in range(6):
            assert process.stdout.readline() == "up\n"
        assert len(bare.members()) == 6
        assert not bare.remove_now()
        began = time.monotonic()
        bare.kill()
        bare.wait_empty(timeout=10)
        assert time.monotonic() - began < 5
        assert process.wait(timeout=5) == -signal.SIGKILL
        assert "populated 0" in (bare.directories[0] / "cgroup.events").read_text()
        assert bare.members() == set()
    assert bare.remove_now()
    bare.kill()
    bare.wait_empty(timeout=1)


def test_a_v2_group_counts_cpu_time_and_says_nothing_of_what_it_lacks(bare: GroupV2) -> None:
    with running(bare, "sum(range(3_000_000)); print('done')") as process:
        process.communicate(timeout=30)
        usage = bare.usage()
        assert usage.cpu_seconds is not None
        assert 0.01 < usage.cpu_seconds < 30
        assert (usage.memory_peak, usage.pids_peak) == (None, None)
        assert not bare.oom_killed()


def test_waiting_for_a_v2_group_is_bounded(bare: GroupV2) -> None:
    with running(bare, "sys.stdin.read()"):
        began = time.monotonic()
        bare.wait_empty(timeout=0.2)
        assert 0.15 < time.monotonic() - began < 2


def test_waiting_for_a_v2_group_ends_with_its_last_process(bare: GroupV2) -> None:
    with running(bare, "import time; time.sleep(0.3)"):
        began = time.monotonic()
        bare.wait_empty(timeout=20)
        assert time.monotonic() - began < 5
        assert bare.remove_now()
