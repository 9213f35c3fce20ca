"""Images whose links and settings lead to the host."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.probes.attack import Finding, Watch, contained, escaped, outcome
from tests.support.probes.images import Node

from wherry.engines.local import bubblewrap
from wherry.errors import WherryError
from wherry.models import Collect, File, Mount, Secret

if TYPE_CHECKING:
    from tests.support.probes.stage import Stage

_LOOK = ("sh", "-c", "cat /etc/hosts /etc/hostname /etc/bait /etc/passwd; ls -R /etc /run /work")


def ways(path: str) -> list[str]:
    """Return the links by which an image could name a place of the host's."""
    return [
        path,
        f"/oldroot{path}",
        "../" * 12 + path.lstrip("/"),
        f"/proc/self/root/oldroot{path}",
        f"/proc/self/root{path}",
        f"/proc/1/cwd/oldroot{path}",
        f"/proc/thread-self/root/oldroot{path}",
        f"/proc/self/fd/3/..{path}",
        f"/dev/fd/3/..{path}",
    ]


async def _each(stage: Stage, place: str, target: str, **fields: Any) -> Finding:
    watch = Watch(stage)
    for way in ways(target):
        image = stage.image(Node(name=place, link=way))
        await watch.attempt(f"{place} -> {way}", stage.call(*_LOOK, image=image, **fields))
    return watch.finding()


async def etc_is_a_link(stage: Stage) -> Finding:
    return await _each(stage, "etc", str(stage.host))


async def hosts_is_a_link(stage: Stage) -> Finding:
    return await _each(stage, "etc/hosts", str(stage.host / "bait"))


async def hostname_is_a_link(stage: Stage) -> Finding:
    return await _each(stage, "etc/hostname", str(stage.host / "bait"))


async def resolv_conf_is_a_link(stage: Stage) -> Finding:
    return await _each(stage, "etc/resolv.conf", str(stage.host / "bait"), network="host")


async def run_is_a_link(stage: Stage) -> Finding:
    secrets = (Secret(name="bait", value=b"overwritten"),)
    return await _each(stage, "run", str(stage.host), secrets=secrets, read_only=True)


async def tmp_is_a_link(stage: Stage) -> Finding:
    return await _each(stage, "tmp", str(stage.host / "made"), read_only=True)


async def dev_is_a_link(stage: Stage) -> Finding:
    return await _each(stage, "dev", str(stage.host / "made"))


async def proc_is_a_link(stage: Stage) -> Finding:
    watch = Watch(stage)
    for way in [*ways(str(stage.host)), "/", "/dev", "/proc", "."]:
        image = stage.image(Node(name="proc", link=way))
        await watch.attempt(f"proc -> {way}", stage.call(*_LOOK, image=image))
    return watch.finding()


async def moved_proc(stage: Stage) -> Finding:
    """/proc is elsewhere, and what is asked for leads into it."""
    watch = Watch(stage)
    for way in ("p/self/root/oldroot", "p/1/cwd/oldroot", "p/self/fd/3/.."):
        image = stage.image(
            Node(name="p"),
            Node(name="proc", link="/p"),
            Node(name="work", link=f"/{way}{stage.host}"),
        )
        for fields in _targets("/work"):
            await watch.attempt(f"work -> {way}", stage.call(*_LOOK, image=image, **fields))
    return watch.finding()


async def work_is_a_link(stage: Stage) -> Finding:
    watch = Watch(stage)
    for way in ways(str(stage.host)):
        image = stage.image(Node(name="work", link=way))
        for fields in _targets("/work"):
            await watch.attempt(f"work -> {way}", stage.call(*_LOOK, image=image, **fields))
    return watch.finding()


def _targets(base: str) -> list[dict[str, Any]]:
    return [
        {"files": (File(target=f"{base}/bait", data=b"overwritten"),)},
        {"mounts": (Mount(target=f"{base}/new", type="tmpfs"),)},
        {"mounts": (Mount(target=f"{base}/bait", source="/dev/null"),)},
        {"workdir": f"{base}/made"},
    ]


async def collect_through_a_link(stage: Stage) -> Finding:
    watch = Watch(stage)
    for way in ways(str(stage.host)):
        image = stage.image(Node(name="out", link=way))
        to = stage.directory("collected")
        collect = (Collect(path="/out", to=str(to)),)
        await watch.attempt(f"out -> {way}", stage.call("true", image=image, collect=collect))
        found = [path.read_bytes() for path in to.rglob("*") if path.is_file()]
        if stage.token.encode() in found:
            watch.problems.append(f"out -> {way}: collected the host's file")
    return watch.finding()


async def workdir_is_a_descriptor(stage: Stage) -> Finding:
    """Bubblewrap changes directory while it still holds a descriptor of the host's /proc."""
    watch = Watch(stage)
    look = ("sh", "-c", f"cat ..{stage.bait['BAIT_FILE']} .{stage.bait['BAIT_FILE']}; ls ..")
    for fd in range(3, 10):
        for way in (f"/proc/self/fd/{fd}", f"/dev/fd/{fd}", f"/proc/1/fd/{fd}"):
            await watch.attempt(way, stage.call(*look, workdir=way))
    for way in ("/proc/self/fd/3", "/dev/fd/3"):
        image = stage.image(WorkingDir=way)
        await watch.attempt(f"image's {way}", stage.call(*look, image=image))
        image = stage.image(Node(name="w", link=way), WorkingDir="/w")
        await watch.attempt(f"/w -> {way}", stage.call(*look, image=image))
        image = stage.image(Node(name="w", link=way), WorkingDir=f"/w/..{stage.host}")
        await watch.attempt(f"/w/.. -> {way}", stage.call(*look, image=image))
    return watch.finding()


async def volume_leads_out(stage: Stage) -> Finding:
    watch = Watch(stage)
    for way in ways(str(stage.host / "made")):
        image = stage.image(Node(name="v", link=way), Volumes={"/v": {}, "/v/below": {}, way: {}})
        await watch.attempt(f"volume {way}", stage.call(*_LOOK, image=image))
    return watch.finding()


async def program_is_bubblewrap(stage: Stage) -> Finding:
    """The host's bubblewrap, run with the image's dynamic linker (as CVE-2019-5736)."""
    if stage.linker is None:
        return contained("not tried: the linker is for x86_64 only")
    if stage.engine.settings.sandbox is None:
        # As in a virtual environment of the user's own: a file that the user may change.
        own = bubblewrap.reachable_copy(bubblewrap.find(), stage.home)
        stage.engine.__dict__["program"] = own
    program = stage.engine.program
    before = (program.stat().st_mode, program.read_bytes())
    image = stage.image(
        Node(name="lib64"),
        Node(name="lib64/ld-linux-x86-64.so.2", data=stage.linker),
        Entrypoint=["/proc/self/exe"],
    )
    text = await outcome(stage.call("--version", image=image))
    if (program.stat().st_mode, program.read_bytes()) != before or "CONTAINED" not in text:
        return escaped(f"bubblewrap changed: {text}")
    return contained(text.strip())


async def accounts_lead_out(stage: Stage) -> Finding:
    """The user's name is looked up on the host's side: in no file but the image's."""
    account = "baituser:x:0:0::/:/bin/sh\n"
    passwd = stage.host / "passwd"
    passwd.write_text(account)
    found = []
    for way in ways(str(passwd)):
        image = stage.image(Node(name="etc/passwd", link=way))
        found.append(await outcome(stage.call("id", image=image, user="baituser")))
    image = stage.image(Node(name="etc/passwd", fifo=True))
    found.append(await outcome(stage.call("id", image=image, user="baituser")))
    passwd.unlink()
    if any("uid=" in text for text in found):
        return escaped("the host's account was taken")
    return contained(f"{len(found)} times no such account, no hang")


async def lower_layer(stage: Stage) -> Finding:
    """All containers of an image share its files: what one does to them no other one sees."""
    image = stage.engine.store.get("busybox")
    before = _hash(image.rootfs)
    script = (
        "echo spoilt >/bin/busybox-new; cp /bin/busybox /tmp/busybox; echo x >/etc/passwd;"
        "b=/tmp/busybox; $b chmod 777 /etc; $b rm -rf /var /root; $b mv /bin/ls /bin/sl;"
        "$b truncate -s 0 /bin/busybox; $b touch -d 2000-01-01 /etc; $b ls -ld /etc /var /bin/sl"
    )
    said = await stage.call("/bin/busybox", "sh", "-c", script)
    if "drwxrwxrwx" not in said.out or "/bin/sl" not in said.out or "/var:" not in said.err:
        return Finding("unclear", f"the script did not do its work: {said.everything}")
    if _hash(image.rootfs) != before:
        return escaped("the image's files changed")
    again = await stage.call("sh", "-c", "ls -d /var /root /bin/ls && cat /etc/passwd")
    if again.exit.code != 0 or "root:x:0" not in again.out:
        return escaped(f"the next container saw it: {again.everything}")
    return contained("wrote, removed, renamed; the next container saw nothing")


def _hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        there = path.lstat()
        digest.update(f"{path} {there.st_mode} {there.st_uid} {there.st_mtime_ns}".encode())
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()


async def overlay_attributes(stage: Stage) -> Finding:
    """An image's own user.overlay.* attributes would steer the overlay mount."""
    image = stage.engine.store.get("busybox")
    try:
        os.setxattr(image.rootfs / "var", "user.overlay.redirect", b"/../../../..")
    except OSError as error:
        return contained(f"the file system has no such attributes ({error.strerror})")
    try:
        watch = Watch(stage)
        await watch.attempt("redirect", stage.call("sh", "-c", "ls -la /var /var/..; cat /var/*"))
    finally:
        os.removexattr(image.rootfs / "var", "user.overlay.redirect")
    return watch.finding()


async def setup_blocks(stage: Stage) -> Finding:
    """What is written at the start must not wait for a reader that never comes."""
    image = stage.image(Node(name="etc/hosts", fifo=True))
    try:
        async with asyncio.timeout(3):
            said = await stage.call("true", image=image)
    except WherryError as error:
        return contained(f"{type(error).__name__}")
    except TimeoutError:
        return Finding("open", "waits until the call's own timeout ends it")
    return contained(f"exit {said.exit.code}")
