"""`wherry doctor` and `wherry version`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.shell import Shell

CAPABILITIES = """kernel, user namespaces, bubblewrap, sandbox, launcher, ready containers, seccomp,
private network, limit of memory, limit of cpus, limit of pids, data directory, docker engine"""


def test_every_capability_has_one_line(sh: Shell) -> None:
    done = sh.run("wherry doctor")
    assert done.returncode == 0, done.stdout
    lines = done.stdout.decode().splitlines()
    assert {line.split()[0] for line in lines} <= {"ok", "missing"}
    for name in CAPABILITIES.replace("\n", " ").split(", "):
        assert sum(f" {name} " in line for line in lines) == 1, name


def test_json_has_the_same(sh: Shell) -> None:
    checks = json.loads(sh.out("wherry doctor --json"))
    assert all(set(check) == {"name", "state", "found", "advice"} for check in checks)
    assert {check["name"]: check["state"] for check in checks}["sandbox"] == "ok"


def test_the_image_it_tries_is_gone_afterwards(sh: Shell) -> None:
    sh.out("wherry doctor")
    assert sh.out("wherry image ls -q") == "busybox:latest\n"


def test_what_keeps_calls_from_running_is_broken(sh: Shell) -> None:
    done = sh.run("wherry doctor --data-dir /proc/nowhere")
    assert done.returncode == 125
    broken = [line for line in done.stdout.decode().splitlines() if line.startswith("broken")]
    assert any("data directory" in line and "--data-dir" in line for line in broken)
    assert b"Traceback" not in done.stderr


def test_docker_is_tried_where_docker_host_says(sh: Shell) -> None:
    out = sh.out("wherry doctor", DOCKER_HOST=f"unix://{sh.home}/none.sock")
    assert f"none answers at {sh.home}/none.sock" in out


def test_version_names_what_is_used(sh: Shell) -> None:
    found = json.loads(sh.out("wherry version --json"))
    assert set(found) == {"wherry", "bubblewrap", "python", "kernel", "machine"}
    assert found["wherry"] in sh.out("wherry --version")
    assert sh.out("python -m wherry version") == sh.out("wherry version")
