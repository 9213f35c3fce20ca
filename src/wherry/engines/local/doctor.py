"""What this machine can do for the local engine, found out by trying it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wherry import streams
from wherry.engines.gate import has_gate
from wherry.engines.local import bubblewrap, launching, private_network, seccomp
from wherry.errors import EngineUnavailable, Unsupported, WherryError
from wherry.models import Function, Invocation, Limits
from wherry.units import format_size

if TYPE_CHECKING:
    from wherry.engines.local.engine import LocalEngine

_OLDEST_KERNEL = (5, 11)
"""The first with overlay mounts in a user namespace."""
_RUNTIMES = ("crun", "runc", "runsc")
_IMAGE = "localhost/wherry-doctor"
_FEW_BYTES = 1 << 30
_PATIENCE = 30.0
"""Seconds in which the test call must have ended."""
_SYSCTL = Path("/proc/sys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One capability."""

    name: str
    state: Literal["ok", "missing", "broken"]
    """``broken`` keeps calls from running at all; ``missing`` is something that can be had."""
    found: str
    """What there is, or why not."""
    advice: str = ""
    """How to get it."""


async def examine(engine: LocalEngine) -> list[Check]:
    """Try everything that the engine uses. Makes one call, of an image that is gone afterwards."""
    checks = [_kernel(), _user_namespaces(), _bubblewrap()]
    checks.append(await _sandbox(engine))
    more = (_launcher, _gate, _seccomp, _network)
    checks += [check() for check in more]
    checks += await asyncio.to_thread(lambda: [*_limits(engine), _data(engine), *_runtimes()])
    return checks


def _kernel() -> Check:
    release = os.uname().release
    numbers = tuple(int(part) for part in release.split("-")[0].split(".")[:2] if part.isdecimal())
    if numbers >= _OLDEST_KERNEL:
        return Check(name="kernel", state="ok", found=release)
    return Check(
        name="kernel",
        state="broken",
        found=f"{release} has no overlay mounts in user namespaces",
        advice="use Linux 5.11 or newer",
    )


def _user_namespaces() -> Check:
    name = "user namespaces"
    if _sysctl("user/max_user_namespaces") == "0":
        return Check(
            name=name,
            state="broken",
            found="user.max_user_namespaces is 0",
            advice="as root: `sysctl -w user.max_user_namespaces=15000`",
        )
    if os.geteuid() == 0:
        return Check(name=name, state="ok", found="allowed for root")
    if _sysctl("kernel/unprivileged_userns_clone") == "0":
        return Check(
            name=name,
            state="broken",
            found="only root may make them (kernel.unprivileged_userns_clone is 0)",
            advice="as root: `sysctl -w kernel.unprivileged_userns_clone=1`",
        )
    if _sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return Check(
            name=name,
            state="missing",
            found="restricted by AppArmor (Ubuntu 23.10 and newer); the line `sandbox` tells "
            "whether calls run all the same",
            advice="as root: give bubblewrap an AppArmor profile with `userns,`, or "
            "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`",
        )
    return Check(name=name, state="ok", found="allowed for every user")


def _bubblewrap() -> Check:
    try:
        path = bubblewrap.find()
    except EngineUnavailable as error:
        return Check(name="bubblewrap", state="broken", found=str(error))
    number = ".".join(map(str, bubblewrap.version(path)))
    return Check(name="bubblewrap", state="ok", found=f"{number}, {path}")


async def _sandbox(engine: LocalEngine) -> Check:
    """Make a call: the only answer that counts."""
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(_PATIENCE):
            ended = await _call_true(engine)
    except (WherryError, OSError, TimeoutError) as error:
        said = str(error) or f"a call took longer than {_PATIENCE:g} s"
        return Check(
            name="sandbox",
            state="broken",
            found=f"a call failed: {said}",
            advice="see the lines above; inside of another container, that one must allow "
            "user namespaces and mounts",
        )
    took = (asyncio.get_running_loop().time() - began) * 1000
    if not ended.exit.ok:
        said = ended.stderr.decode(errors="replace").strip()
        return Check(name="sandbox", state="broken", found=f"`true` {ended.exit.describe()} {said}")
    return Check(name="sandbox", state="ok", found=f"made an image and called it in {took:.0f} ms")


async def _call_true(engine: LocalEngine) -> streams.Collected:
    from wherry.images.fromhost import from_host

    name = f"{_IMAGE}:{os.getpid()}"
    await asyncio.to_thread(from_host, engine.store, name, programs=["true"])
    try:
        limits = Limits(timeout=_PATIENCE)
        function = Function(name="doctor", image=name, pull="never", limits=limits)
        invocation = Invocation(function=function)
        async with engine.start(invocation, streams.NOTHING) as container:
            return await streams.collect(container)
    finally:
        await engine.aclose()
        await asyncio.to_thread(engine.store.remove, name)


def _launcher() -> Check:
    if launching.compiled_launcher():
        return Check(name="launcher", state="ok", found="compiled")
    return Check(
        name="launcher",
        state="missing",
        found="not compiled, so Python does its work and calls start later",
        advice="install a C compiler (Debian: `apt install musl-tools`), then wherry again",
    )


def _gate() -> Check:
    if has_gate():
        return Check(name="ready containers", state="ok", found="the gate is compiled")
    return Check(
        name="ready containers",
        state="missing",
        found="the gate is not compiled",
        advice="install a C compiler (Debian: `apt install musl-tools`), then wherry again",
    )


def _seccomp() -> Check:
    try:
        size = len(seccomp.filter_program())
    except Unsupported as error:
        return Check(name="seccomp", state="broken", found=str(error))
    found = f"a filter for {os.uname().machine}, {size // 8} instructions"
    return Check(name="seccomp", state="ok", found=found)


def _network() -> Check:
    if reason := private_network.available():
        found, _, advice = reason.partition("; ")
        return Check(name="private network", state="missing", found=found, advice=advice)
    return Check(name="private network", state="ok", found="slirp4netns")


def _limits(engine: LocalEngine) -> Iterator[Check]:
    support = engine.cgroups.support
    found, _, advice = support.reason.partition("; ")
    for name, can in (("memory", support.memory), ("cpus", support.cpu), ("pids", support.pids)):
        if can:
            yield Check(name=f"limit of {name}", state="ok", found=f"by cgroup {support.layout}")
        elif name == "pids":
            # The launcher's user namespace has a count of its own.
            yield Check(name="limit of pids", state="ok", found="by RLIMIT_NPROC per container")
        else:
            yield Check(name=f"limit of {name}", state="missing", found=found, advice=advice)


def _data(engine: LocalEngine) -> Check:
    data = engine.settings.data
    try:
        engine.settings.make_directories()
        free = shutil.disk_usage(data).free
    except (EngineUnavailable, OSError) as error:
        return Check(name="data directory", state="broken", found=str(error))
    found = f"{data}, {format_size(free)} free"
    if free < _FEW_BYTES:
        advice = "`wherry image prune --all`, or another place with --data-dir"
        return Check(name="data directory", state="missing", found=found, advice=advice)
    return Check(name="data directory", state="ok", found=found)


def _runtimes() -> Iterator[Check]:
    for name in _RUNTIMES:
        if (path := shutil.which(name)) is None:
            continue
        try:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10)
            lines = said.stdout.splitlines()
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
            yield Check(name=f"runtime {name}", state="missing", found=f"does not run: {error}")
            continue
        if said.returncode == 0 and lines:
            yield Check(name=f"runtime {name}", state="ok", found=f"{lines[0]}, {path}")
        else:
            found = f"{path} --version ended with {said.returncode}"
            yield Check(name=f"runtime {name}", state="missing", found=found)


def _sysctl(name: str) -> str | None:
    try:
        return (_SYSCTL / name).read_text().strip()
    except OSError:
        return None
