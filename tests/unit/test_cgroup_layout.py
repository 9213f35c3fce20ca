import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.cgroup_tree import FakeTree

from wherry.engines.local.cgroup import Cgroups, Support, detect
from wherry.engines.local.cgroup_group import PREFIX
from wherry.errors import EngineError, Unsupported

MIB = 1024 * 1024


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    return FakeTree(tmp_path)


@pytest.fixture(params=[0, 1000])
def euid(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    uid: int = request.param
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    return uid


def look(tree: FakeTree) -> Support:
    return detect(root=tree.root, proc=tree.proc, tree=tree)


def directories(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_dir()}


def hybrid(tree: FakeTree, own: str = "/") -> None:
    for controller in ("memory", "pids", "cpu"):
        tree.mount_v1(controller, own)
    tree.mount_v1("name=systemd", own)
    tree.mount_v2("hugetlb")


def test_root_on_v2_makes_groups_below_a_parent_of_its_own(
    tree: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tree.mount_v2("cpuset cpu io memory pids", "/user.slice/session-1.scope", where=".")
    support = look(tree)
    assert (support.layout, support.memory, support.cpu, support.pids) == ("v2", True, True, True)
    assert support.reason == "limits by cgroup v2: memory, pids, cpu"
    assert {place.parent for place in support.places.values()} == {tree.root / "wherry-containers"}
    cgroups = Cgroups(support, tree=tree)
    group = cgroups.create("one", memory=64 * MIB, cpus=1.5, pids=10)
    directory = tree.root / "wherry-containers" / "wherry-container-one"
    assert group.directories == (directory,)
    assert group.joining == (directory / "cgroup.procs",)
    written = {
        name: (directory / name).read_text() for name in ("memory.max", "cpu.max", "pids.max")
    }
    assert written == {"memory.max": "67108864", "cpu.max": "150000 100000", "pids.max": "10"}
    assert (directory / "memory.swap.max").read_text() == "0"
    assert (directory / "memory.oom.group").read_text() == "1"


def test_v2_reports_what_the_kernel_counted(tree: FakeTree) -> None:
    tree.mount_v2("cpu memory pids")
    cgroups = Cgroups(look(tree), tree=tree)
    group = cgroups.create("one", memory=None, cpus=None, pids=None)
    assert (group.directories[0] / "memory.max").read_text() == "max"
    usage = group.usage()
    assert (usage.memory_peak, usage.cpu_seconds, usage.pids_peak) == (8192, 1.5, 4)
    assert group.memory() == 7168 - 1024
    assert not group.oom_killed()
    (group.directories[0] / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert group.oom_killed()
    group.kill()
    assert (group.directories[0] / "cgroup.kill").read_text() == "1"


def test_detection_leaves_nothing_behind(tree: FakeTree, euid: int) -> None:
    hybrid(tree)
    before = directories(tree.root)
    look(tree)
    assert directories(tree.root) == before


def test_detection_on_v2_leaves_nothing_behind_either(tree: FakeTree) -> None:
    tree.mount_v2("memory pids cpu")
    before = directories(tree.root)
    assert look(tree).layout == "v2"
    assert directories(tree.root) == before


def test_a_plain_user_uses_a_delegated_group_by_moving_down_in_it(
    tree: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    tree.mount_v2("cpu memory pids", where=".")
    slice_ = tree.root / "user.slice"
    tree.enable(tree.root, "cpu memory pids")
    tree.make(slice_)
    tree.enable(slice_, "memory pids")
    scope = slice_ / "run-1.scope"
    tree.make(scope)
    tree.put(scope, os.getpid())
    tree.put(scope, 77)
    tree.forbidden |= {tree.root, slice_}
    tree.delegated.add(scope)
    (tree.proc / "cgroup").write_text("0::/user.slice/run-1.scope\n")
    support = look(tree)
    assert (support.layout, support.memory, support.cpu, support.pids) == ("v2", True, False, True)
    assert "not cpu" in support.reason
    assert tree.members(scope) == set()
    assert tree.members(scope / "wherry-caller") == {os.getpid(), 77}
    group = Cgroups(support, tree=tree).create("x", memory=MIB, cpus=None, pids=5)
    assert group.directories[0].parent == scope / "wherry-containers"


def test_a_group_shared_with_others_is_not_rearranged_unless_delegated(
    tree: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    scope = tree.mount_v2("cpu memory pids", "/session.scope", where=".")
    (scope / "cgroup.controllers").write_text("memory pids")
    tree.put(scope, 77)
    tree.forbidden.add(tree.root)
    support = look(tree)
    assert support.layout == "none"
    assert "other processes are in this group" in support.reason
    assert "systemd-run --user --scope -p Delegate=yes" in support.reason
    assert tree.members(scope) == {os.getpid(), 77}
    assert directories(scope) == set()


def test_a_caller_below_a_delegated_group_uses_its_parent(
    tree: FakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    caller = tree.mount_v2("memory pids", "/scope/wherry-caller", where=".")
    scope = caller.parent
    (scope / "cgroup.controllers").write_text("memory pids")
    tree.delegated.add(scope)
    support = look(tree)
    assert support.places["memory"].parent == scope / "wherry-containers"


def test_a_hybrid_host_is_limited_by_its_v1_controllers(tree: FakeTree, euid: int) -> None:
    hybrid(tree)
    support = look(tree)
    assert (support.layout, support.memory, support.cpu, support.pids) == ("v1", True, True, True)
    group = Cgroups(support, tree=tree).create("one", memory=MIB, cpus=0.25, pids=7)
    memory, pids, cpu = (tree.root / c / "wherry-container-one" for c in ("memory", "pids", "cpu"))
    assert group.directories == (memory, pids, cpu)
    assert group.joining == (memory / "tasks", pids / "tasks", cpu / "tasks")
    assert (memory / "memory.limit_in_bytes").read_text() == str(MIB)
    assert (memory / "memory.memsw.limit_in_bytes").read_text() == str(MIB)
    assert (pids / "pids.max").read_text() == "7"
    assert (cpu / "cpu.cfs_quota_us").read_text() == "25000"
    assert (cpu / "cpu.cfs_period_us").read_text() == "100000"


def test_v1_groups_are_made_below_our_own_and_so_inside_its_limits(tree: FakeTree) -> None:
    tree.mount_v1("memory", "/jobs/job 7")
    tree.mount_v1("pids", "/")
    group = Cgroups(look(tree), tree=tree).create("a", memory=MIB, cpus=None, pids=2)
    assert group.directories == (
        tree.root / "memory/jobs/job 7/wherry-container-a",
        tree.root / "pids/wherry-container-a",
    )


def test_controllers_mounted_together_are_one_directory(tree: FakeTree) -> None:
    tree.mount_v1("cpu,cpuacct")
    tree.mount_v1("memory")
    group = Cgroups(look(tree), tree=tree).create("a", memory=MIB, cpus=1, pids=None)
    assert [d.parent.name for d in group.directories] == ["memory", "cpu,cpuacct"]
    assert group.usage().cpu_seconds == 2.5


def test_a_bind_mounted_part_of_a_hierarchy_is_seen_as_the_container_sees_it(
    tree: FakeTree,
) -> None:
    tree.mount_v1("memory", "/docker/abc", mounted="/docker/abc")
    assert look(tree).places["memory"].parent == tree.root / "memory"


def test_a_hierarchy_that_does_not_show_our_own_group_is_not_used(tree: FakeTree) -> None:
    tree.mount_v1("memory", "/docker/abc", mounted="/docker/abc")
    (tree.proc / "cgroup").write_text("1:memory:/elsewhere\n")
    assert look(tree).layout == "none"


def test_no_cpu_group_is_made_for_a_call_without_a_cpu_limit(tree: FakeTree) -> None:
    hybrid(tree)
    group = Cgroups(look(tree), tree=tree).create("a", memory=None, cpus=None, pids=None)
    assert [d.parent.name for d in group.directories] == ["memory", "pids"]


def test_without_swap_accounting_swapping_is_switched_off_instead(tree: FakeTree) -> None:
    hybrid(tree)
    tree.lacking.add("memory.memsw.limit_in_bytes")
    group = Cgroups(look(tree), tree=tree).create("a", memory=MIB, cpus=None, pids=None)
    assert (group.directories[0] / "memory.swappiness").read_text() == "0"


def test_v1_says_whether_the_kernel_killed_for_memory(tree: FakeTree) -> None:
    hybrid(tree)
    group = Cgroups(look(tree), tree=tree).create("a", memory=MIB, cpus=None, pids=None)
    assert not group.oom_killed()
    control = group.directories[0] / "memory.oom_control"
    control.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    assert group.oom_killed()
    assert (group.usage().memory_peak, group.usage().pids_peak) == (4096, 3)
    assert group.memory() == 3072 - 1024


def test_where_nothing_can_be_made_the_reason_says_how_to_get_it(tree: FakeTree, euid: int) -> None:
    hybrid(tree)
    tree.forbidden |= {tree.root / name for name in ("memory", "pids", "cpu", "unified")}
    support = look(tree)
    assert (support.layout, support.memory, support.cpu, support.pids) == ("none",) + (False,) * 3
    assert support.reason == (
        "no limits by cgroup (no memory, pids or cpu controller in v2; Permission denied for "
        "memory, pids, cpu of v1); run as root, or on a machine with cgroup v2 and systemd by way "
        "of `systemd-run --user --scope -p Delegate=yes`"
    )


def test_a_machine_without_cgroups_says_so(tree: FakeTree) -> None:
    (tree.proc / "mountinfo").write_text("22 1 0:21 / / rw - ext4 /dev/vda rw\n")
    (tree.proc / "cgroup").write_text("0::/\n")
    assert "no memory, pids or cpu controller is mounted below" in look(tree).reason
    missing = detect(root=tree.root, proc=tree.root / "nowhere", tree=tree)
    assert missing.layout == "none"
    assert "cannot be read" in missing.reason


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"memory": MIB}, "memory limit 1048576: "),
        ({"cpus": 2.0}, "cpu limit 2.0: "),
        ({"pids": 3}, "pids limit 3: "),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused_before_anything_is_made(
    tree: FakeTree, limits: dict[str, float], words: str
) -> None:
    tree.mount_v1("freezer")
    cgroups = Cgroups(look(tree), tree=tree)
    every = {"memory": None, "cpus": None, "pids": None} | limits
    with pytest.raises(Unsupported, match=words):
        cgroups.create("x", **every)  # type: ignore[arg-type]


def test_a_group_that_could_not_be_limited_is_not_left_behind(tree: FakeTree) -> None:
    hybrid(tree)
    cgroups = Cgroups(look(tree), tree=tree)
    tree.lacking.add("pids.max")
    with pytest.raises(EngineError, match=r"pids\.max"):
        cgroups.create("x", memory=MIB, cpus=1, pids=3)
    assert not [path for path in directories(tree.root) if path.name.startswith(PREFIX)]


@pytest.mark.parametrize("name", ["", "a/b", "..x/../..", "a b", "x" * 201])
def test_a_name_that_is_no_file_name_is_refused(tree: FakeTree, name: str) -> None:
    hybrid(tree)
    with pytest.raises(EngineError, match="group name"):
        Cgroups(look(tree), tree=tree).create(name, memory=None, cpus=None, pids=None)


@pytest.mark.parametrize("lay_out", [hybrid, lambda tree: tree.mount_v2("memory pids cpu")])
def test_only_groups_of_ours_are_found_wherever_they_are(
    tree: FakeTree, lay_out: Callable[[FakeTree], object]
) -> None:
    lay_out(tree)
    cgroups = Cgroups(look(tree), tree=tree)
    for name in ("a-1", "a-2", "b-1"):
        cgroups.create(name, memory=None, cpus=1, pids=None)
    top = next(iter(cgroups.support.places.values())).top
    for theirs in ("wherry-test", "wherry", "docker"):
        tree.make(top / theirs)
    assert [group.name for group in cgroups.find()] == ["a-1", "a-2", "b-1"]
    found = cgroups.find("a-")
    assert [group.name for group in found] == ["a-1", "a-2"]
    for group in found:
        assert group.remove_now()
    assert [group.name for group in cgroups.find()] == ["b-1"]
    assert (top / "wherry-test").is_dir()


def test_a_group_half_made_by_a_killed_process_is_found(tree: FakeTree) -> None:
    hybrid(tree)
    tree.make(tree.root / "memory" / f"{PREFIX}half")
    (group,) = Cgroups(look(tree), tree=tree).find()
    assert group.directories == (tree.root / "memory" / f"{PREFIX}half",)
    assert group.remove_now()


def test_removing_is_idempotent_and_says_when_it_is_too_early(tree: FakeTree) -> None:
    hybrid(tree)
    group = Cgroups(look(tree), tree=tree).create("a", memory=None, cpus=None, pids=None)
    tree.put(group.directories[0], os.getpid())
    assert group.members() == {os.getpid()}
    assert not group.remove_now()
    tree.put(tree.root / "memory", os.getpid())
    assert group.remove_now()
    assert group.remove_now()
    assert group.members() == set()
    assert not group.oom_killed()


def test_a_parent_that_another_process_removed_is_made_again(tree: FakeTree) -> None:
    tree.mount_v2("memory pids")
    cgroups = Cgroups(look(tree), tree=tree)
    first = cgroups.create("a", memory=None, cpus=None, pids=None)
    cgroups.close()
    assert first.directories[0].is_dir()
    assert first.remove_now()
    cgroups.close()
    assert directories(tree.root) == {tree.root / "unified"}
    second = cgroups.create("b", memory=MIB, cpus=None, pids=None)
    assert (second.directories[0] / "memory.max").read_text() == str(MIB)


def test_what_the_kernel_refuses_is_an_engine_error(tree: FakeTree) -> None:
    hybrid(tree)
    group = Cgroups(look(tree), tree=tree).create("a", memory=None, cpus=None, pids=None)
    tree.forbidden.add(group.directories[0])
    with pytest.raises(EngineError, match="cannot move 1 into"):
        group.add(1)
