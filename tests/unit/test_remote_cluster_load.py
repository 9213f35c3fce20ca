"""The load of a node, from files as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from wherry.errors import EngineError
from wherry.remote.cluster.load import Load

GIB = 1024 * 1024  # kB


class Machine:
    """A root file system with what is read of it, and a clock."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = 100.0
        self.write("proc/self/cgroup", "0::/\n")
        self.cpu(busy=1000, idle=1000)
        self.memory(total=8 * GIB, available=4 * GIB)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def cpu(self, *, busy: int, idle: int) -> None:
        # user nice system idle iowait irq softirq steal guest guest_nice
        self.write("proc/stat", f"cpu  {busy - 4} 1 1 {idle - 10} 10 1 1 0 99 99\ncpu0 1 2 3 4\n")

    def memory(self, *, total: int, available: int) -> None:
        text = f"MemTotal: {total} kB\nMemFree: 1 kB\nMemAvailable: {available} kB\nHugePages: 0\n"
        self.write("proc/meminfo", text)

    def load(self) -> Load:
        return Load(self.root, clock=lambda: self.now)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_load_is_the_fraction_of_processors_times_that_of_memory(machine: Machine) -> None:
    load = machine.load()
    machine.cpu(busy=1300, idle=1100)  # 300 of 400 ticks
    assert load.measure() == pytest.approx(0.75 * 0.5)


def test_each_figure_is_of_the_time_since_the_one_before(machine: Machine) -> None:
    load = machine.load()
    machine.cpu(busy=1100, idle=1000)
    assert load.measure() == pytest.approx(1.0 * 0.5)
    machine.cpu(busy=1100, idle=1100)
    assert load.measure() == 0.0


def test_no_time_at_all_is_no_load_and_no_division(machine: Machine) -> None:
    assert machine.load().measure() == 0.0


def test_a_quota_of_the_control_group_counts_where_it_is_tighter(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "0::/pod/app\n")
    machine.write("sys/fs/cgroup/pod/app/cpu.max", "max 100000\n")
    machine.write("sys/fs/cgroup/pod/cpu.max", "50000 100000\n")  # half a processor
    machine.write("sys/fs/cgroup/pod/cpu.stat", "usage_usec 1000000\nuser_usec 5\n")
    load = machine.load()
    machine.cpu(busy=1010, idle=1190)  # the machine: 5 %
    machine.write("sys/fs/cgroup/pod/cpu.stat", "usage_usec 1800000\nuser_usec 5\n")
    machine.now += 2.0  # 0.8 of 1.0 seconds that were allowed
    assert load.measure() == pytest.approx(0.8 * 0.5)


def test_a_limit_of_memory_counts_without_what_can_be_given_back(machine: Machine) -> None:
    machine.write("sys/fs/cgroup/memory.max", f"{1000 * 1024}\n")
    machine.write("sys/fs/cgroup/memory.current", f"{900 * 1024}\n")
    machine.write("sys/fs/cgroup/memory.stat", f"anon 5\ninactive_file {200 * 1024}\n")
    load = machine.load()
    machine.cpu(busy=1100, idle=1000)
    assert load.measure() == pytest.approx(0.7)


def test_control_groups_of_the_first_version_count_as_well(machine: Machine) -> None:
    machine.write("proc/self/cgroup", "4:memory:/a\n2:cpuacct:/a\n1:cpu:/a\n")
    top = "sys/fs/cgroup"
    machine.write(f"{top}/cpu/a/cpu.cfs_quota_us", "20000\n")
    machine.write(f"{top}/cpu/a/cpu.cfs_period_us", "100000\n")
    machine.write(f"{top}/cpuacct/a/cpuacct.usage", "5000000000\n")
    machine.write(f"{top}/memory/a/memory.usage_in_bytes", "950\n")
    machine.write(f"{top}/memory/a/memory.limit_in_bytes", "1000\n")
    machine.write(f"{top}/memory/a/memory.stat", "total_inactive_file 50\n")
    load = machine.load()
    machine.cpu(busy=1001, idle=1199)
    machine.write(f"{top}/cpuacct/a/cpuacct.usage", "5180000000\n")
    machine.now += 1.0  # 0.18 of 0.2 seconds
    assert load.measure() == pytest.approx(0.9 * 0.9)


def test_groups_without_limits_and_above_the_machines_memory_count_for_nothing(
    machine: Machine,
) -> None:
    machine.write("proc/self/cgroup", "4:memory:/\n1:cpu:/\n")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    machine.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    machine.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "950\n")
    machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    load = machine.load()
    machine.cpu(busy=1100, idle=1300)
    assert load.measure() == pytest.approx(0.25 * 0.5)


def test_a_group_that_came_in_between_changes_nothing(machine: Machine) -> None:
    load = machine.load()
    machine.cpu(busy=1100, idle=1000)
    machine.write("sys/fs/cgroup/cpu.max", "50000 100000\n")
    machine.write("sys/fs/cgroup/cpu.stat", "usage_usec 1800000\n")
    machine.now += 1
    assert load.measure() == pytest.approx(0.5)


def test_a_machine_without_proc_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="/proc/stat cannot be read"):
        Load(tmp_path)


def test_a_kernel_that_tells_other_things_is_an_error_and_no_end(machine: Machine) -> None:
    load = machine.load()
    machine.write("proc/meminfo", "MemTotal: 5 kB\n")
    with pytest.raises(EngineError, match="/proc is not as Linux has it"):
        load.measure()


def test_this_machine_has_a_load() -> None:
    assert 0.0 <= Load().measure() <= 1.0
