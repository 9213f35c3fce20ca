"""Private networks with the real slirp4netns, on a host of the test's own: never a real network."""

import asyncio
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support import private_network_host
from tests.support.require import missing, require

from wherry.engines.local import private_network
from wherry.errors import EngineError, Unsupported

pytestmark = pytest.mark.root
PLAIN_USER = 12345


@contextmanager
def host(*, uid: int, open_tun: bool) -> Iterator[subprocess.Popen[str]]:
    for program in ("slirp4netns", "unshare", "ip", "mount"):
        require(program)
    if not Path("/dev/net/tun").exists():
        missing("/dev/net/tun")
    script = str(private_network_host.__file__)
    command = ["unshare", "--net", "--mount", "--", sys.executable, script]
    command += [str(uid), "yes" if open_tun else "no"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the host ended early"
    said: dict[str, Any] = json.loads(line)
    return said


def tell(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


WHO = {
    "root": (0, False),
    "root where everybody may open the tun device": (0, True),
    "a plain user": (PLAIN_USER, True),
}


@pytest.mark.parametrize("who", WHO)
def test_a_sandbox_gets_out_and_never_to_the_loopback_of_its_host(who: str) -> None:
    uid, open_tun = WHO[who]
    with host(uid=uid, open_tun=open_tun) as process:
        about = hear(process)
        tell(process, "go")
        seen = hear(process)
        ended = hear(process)
        assert process.wait(timeout=10) == 0
    assert seen.pop("192.0.2.1:8080") == "outside"
    assert seen.pop("udp") == "ping"
    assert seen.pop("devices") == ["lo", "tap0"]
    assert len(seen) == 7
    # ECONNREFUSED by its own loopback; ENETUNREACH or nothing at all by what is not there.
    assert set(seen.values()) <= {111, 101, 113, "TimeoutError"}, seen
    assert ended["gone"]
    assert about["took"] < 5
    assert ended["took"] < 2


@pytest.mark.parametrize("who", WHO)
def test_the_helper_has_no_power_that_it_can_do_without(who: str) -> None:
    uid, open_tun = WHO[who]
    with host(uid=uid, open_tun=open_tun) as process:
        about = hear(process)
        tell(process, "go")
        hear(process)
        hear(process)
    helper = about["helper"]
    assert (helper["Seccomp"], helper["NoNewPrivs"]) == ("2", "1")
    if who == "root":
        only_low_ports = 1 << 10
        assert int(helper["CapPrm"], 16) | only_low_ports == only_low_ports
        assert set(about["files"]) <= {"etc", "run"}
    else:
        whose = uid or private_network_host.SANDBOX_UID
        assert helper["Uid"] == " ".join([str(whose)] * 4)
        assert helper["CapPrm"] == "0000000000000000"
        assert helper["Groups"] == ""


def test_a_killed_caller_leaves_no_helper_behind() -> None:
    with host(uid=0, open_tun=False) as process:
        pid = hear(process)["pid"]
        helper = os.pidfd_open(pid)
        tell(process, "die")
        assert process.wait(timeout=10) == -9
        ended = select.poll()
        ended.register(helper, select.POLLIN)
        assert ended.poll(5000)
        os.close(helper)


def test_a_plain_user_is_told_why_it_cannot_where_the_tun_device_is_roots() -> None:
    require("slirp4netns")
    tun = Path("/dev/net/tun")
    if not tun.exists() or tun.stat().st_mode & 0o006:
        missing("a tun device that only root may open")
    script = "from wherry.engines.local.private_network import available; print(available())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        user=PLAIN_USER,
        group=PLAIN_USER,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "/dev/net/tun, which uid 12345 cannot open (mode 600)" in done.stdout
    assert "chmod 666 /dev/net/tun" in done.stdout


@pytest.fixture
def elsewhere() -> Iterator[int]:
    """A process in a network namespace of its own."""
    command = [require("unshare"), "--net", "--user", "-r", "--", "sh", "-c"]
    command += ["ip link set lo up && echo up && exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid
        process.kill()


def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "slirp4netns"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


async def test_what_the_helper_says_before_it_fails_is_in_the_error(
    elsewhere: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, "echo 'no luck today' >&2; exit 1")
    with pytest.raises(EngineError, match="slirp4netns failed: no luck today"):
        await private_network.attach(elsewhere)


async def test_a_helper_that_is_never_ready_is_ended(
    elsewhere: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.setattr(private_network, "_READY", 0.5)
    monkeypatch.setattr(private_network, "_ENDING", 0.2)
    with pytest.raises(EngineError, match="not ready within"):
        await private_network.attach(elsewhere)
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


async def test_a_helper_that_is_not_installed_is_named(
    elsewhere: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="needs slirp4netns; install it"):
        await private_network.attach(elsewhere)


async def test_a_sandbox_whose_loopback_is_not_there_yet_is_waited_for() -> None:
    require("unshare")
    require("ip")
    script = "read line; ip link set lo up; read line"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        try:
            until_alone(process.pid)
            waiting = asyncio.ensure_future(private_network.loopback_of(process.pid))
            await asyncio.sleep(0.02)
            assert not waiting.done()
            process.stdin.write(b"\n")
            process.stdin.flush()
            await waiting
        finally:
            process.kill()
    with pytest.raises(EngineError, match="ended while it was set up"):
        await private_network.loopback_of(process.pid)


def until_alone(pid: int) -> None:
    ours = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/ns/net").readlink() == ours:
        assert time.monotonic() < deadline
        time.sleep(0.001)
