"""A cgroup file system in a plain directory: it behaves as the kernel's, and limits nothing."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from wherry.engines.local.cgroup_tree import Tree

_V1_FILES = {
    "memory": {
        "memory.limit_in_bytes": "9223372036854771712",
        "memory.memsw.limit_in_bytes": "9223372036854771712",
        "memory.swappiness": "60",
        "memory.max_usage_in_bytes": "4096",
        "memory.usage_in_bytes": "3072",
        "memory.stat": "cache 2048\ntotal_inactive_file 1024\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
    },
    "pids": {"pids.max": "max", "pids.peak": "3"},
    "cpu": {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1"},
    "cpuacct": {"cpuacct.usage": "2500000000"},
}
_V2_FILES = {
    "memory": {
        "memory.max": "max",
        "memory.swap.max": "max",
        "memory.oom.group": "0",
        "memory.peak": "8192",
        "memory.current": "7168",
        "memory.stat": "anon 4096\ninactive_file 1024\n",
        "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n",
    },
    "pids": {"pids.max": "max", "pids.peak": "4"},
    "cpu": {"cpu.max": "max 100000"},
    "hugetlb": {"hugetlb.2MB.max": "max"},
}


class FakeTree(Tree):
    """Hierarchies under one root, each in a directory named as its controllers or ``unified``."""

    def __init__(self, root: Path) -> None:
        self.root = root / "cgroup"
        self.proc = root / "proc"
        self.root.mkdir()
        self.proc.mkdir()
        self.delegated: set[Path] = set()
        self.forbidden: set[Path] = set()
        self.lacking: set[str] = set()
        self._mounts: list[str] = []
        self._groups: list[str] = []
        self._tops: set[Path] = set()

    def mount_v1(self, controllers: str, own: str = "/", *, mounted: str = "/") -> Path:
        top = self._mount(controllers, own, mounted, f"cgroup cgroup rw,{controllers}")
        self._groups.append(f"{len(self._groups) + 1}:{controllers}:{own}")
        return self._finish(top, own, mounted)

    def mount_v2(self, controllers: str, own: str = "/", *, where: str = "unified") -> Path:
        top = self._mount(where, own, "/", "cgroup2 cgroup2 rw,nsdelegate")
        (top / "cgroup.controllers").write_text(controllers)
        (top / "cgroup.subtree_control").write_text("")
        self._groups.append(f"0::{own}")
        return self._finish(top, own, "/")

    def enable(self, group: Path, controllers: str) -> None:
        """Say that the machine already hands these on from a group."""
        (group / "cgroup.subtree_control").write_text(controllers)

    def put(self, group: Path, pid: int) -> None:
        self.write(group / "cgroup.procs", str(pid))

    def make(self, path: Path) -> None:
        if path.parent in self.forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        path.mkdir()
        self._fill(path)

    def remove(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        if self.members(path) or any(entry.is_dir() for entry in path.iterdir()):
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        shutil.rmtree(path)

    def write(self, path: Path, text: str) -> None:
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        if path.parent in self.forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        match path.name:
            case "cgroup.subtree_control":
                self._hand_on(path.parent, text.removeprefix("+"))
            case "cgroup.procs":
                self._move(int(text), path.parent)
            case _:
                path.write_text(text)

    def is_delegated(self, group: Path) -> bool:
        return group in self.delegated

    def _mount(self, where: str, own: str, mounted: str, kind: str) -> Path:
        top = self.root / where
        top.mkdir(parents=True, exist_ok=True)
        self._tops.add(top)
        self._mounts.append(f"31 23 0:28 {mounted} {top} rw,nosuid shared:9 - {kind}")
        (top / "cgroup.procs").write_text("")
        return top

    def _finish(self, top: Path, own: str, mounted: str) -> Path:
        (self.proc / "mountinfo").write_text("\n".join(self._mounts) + "\n")
        (self.proc / "cgroup").write_text("\n".join(self._groups) + "\n")
        place = top
        for part in Path(own).relative_to(mounted).parts:
            place /= part
            place.mkdir(exist_ok=True)
            self._fill(place)
        self._move(os.getpid(), place)
        return place

    def _fill(self, group: Path) -> None:
        top = next(top for top in self._tops if group.is_relative_to(top))
        files = {"cgroup.procs": ""}
        if (top / "cgroup.controllers").exists():
            passed_on = (group.parent / "cgroup.subtree_control").read_text()
            files |= {"cgroup.controllers": passed_on, "cgroup.subtree_control": ""}
            files |= {"cgroup.kill": "", "cgroup.events": "populated 0\nfrozen 0\n"}
            files |= {"cpu.stat": "usage_usec 1500000\nuser_usec 1\nsystem_usec 1\n"}
            known = _V2_FILES
        else:
            passed_on = top.name.replace(",", " ")
            files |= {"tasks": ""}
            known = _V1_FILES
        for controller in passed_on.split():
            files |= known.get(controller, {})
        for name, text in files.items():
            if name not in self.lacking:
                (group / name).write_text(text)

    def _hand_on(self, group: Path, controller: str) -> None:
        if controller not in (group / "cgroup.controllers").read_text().split():
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        handed_on = (group / "cgroup.subtree_control").read_text().split()
        if controller in handed_on:
            return
        if group not in self._tops and self.members(group):
            raise OSError(errno.EBUSY, "Device or resource busy")
        self.enable(group, " ".join([*handed_on, controller]))

    def _move(self, pid: int, group: Path) -> None:
        top = next(top for top in self._tops if group.is_relative_to(top))
        for file in [top / "cgroup.procs", *top.rglob("cgroup.procs")]:
            left = [word for word in file.read_text().split() if int(word) != pid]
            file.write_text(" ".join(left))
        members = group / "cgroup.procs"
        members.write_text(f"{members.read_text()} {pid}".strip())
