"""Bind mounts whose content an earlier container has prepared."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.support.probes.attack import Finding, Watch, contained, escaped, outcome
from tests.support.probes.attack_images import ways

from wherry.models import File, Mount, Secret

if TYPE_CHECKING:
    from tests.support.probes.stage import Stage


async def links_in_a_bind(stage: Stage) -> Finding:
    """A container leaves links in a shared directory; the next call passes through them."""
    watch = Watch(stage)
    for way in ways(str(stage.host)):
        shared = stage.directory("shared")
        bind = Mount(target="/shared", source=str(shared), read_only=False)
        await stage.call("ln", "-s", way, "/shared/sub", mounts=(bind,))
        look = ("sh", "-c", "cat bait ./bait /shared/sub/bait; ls -la . .. /shared/sub/")
        for fields in (
            {"mounts": (bind,), "workdir": "/shared/sub"},
            {"mounts": (bind, Mount(target="/shared/sub/new", type="tmpfs"))},
            {"mounts": (bind, Mount(target="/shared/sub/bait", source="/dev/null"))},
            {"mounts": (bind,), "files": (File(target="/shared/sub/bait", data=b"spoilt"),)},
        ):
            await watch.attempt(f"sub -> {way}", stage.call(*look, **fields))
    return watch.finding()


async def names_in_a_bind(stage: Stage) -> Finding:
    """/etc/hosts is written for a container: not into a directory of the host's."""
    (stage.host / "hosts").write_text("the host's")
    (stage.host / "hostname").symlink_to("bait")
    for path in ("hosts", "hostname"):
        stage.give(stage.host / path)
    watch = Watch(stage)
    for read_only in (True, False):
        bind = Mount(target="/etc", source=str(stage.host), read_only=read_only)
        await watch.attempt(f"ro={read_only}", stage.call("ls", "/etc", mounts=(bind,)))
        over = Mount(target="/run", source=str(stage.host), read_only=read_only)
        secret = (Secret(name="bait", value=b"spoilt"),)
        call = stage.call("ls", "/run", mounts=(over,), secrets=secret)
        await watch.attempt(f"secret, ro={read_only}", call)
    for path in ("hosts", "hostname"):
        (stage.host / path).unlink()
    return watch.finding()


async def read_only_bind(stage: Stage) -> Finding:
    watch = Watch(stage)
    bind = Mount(target="/shared", source=str(stage.host))
    script = (
        "cd /shared; echo x >bait; echo x >new; rm -f bait; chmod 777 bait . ; mv bait b;"
        "touch bait; ln -s a l; mkdir d; mount -o remount,rw /shared; ls"
    )
    await watch.attempt("read-only bind", stage.call("sh", "-c", script, mounts=(bind,)))
    return watch.finding()


async def source_is_swapped(stage: Stage) -> Finding:
    """A container that may write to a shared directory swaps what is mounted next for a link."""
    shared = stage.directory("shared")
    (shared / "sub").mkdir()
    stage.give(shared / "sub")
    bind = Mount(target="/shared", source=str(shared), read_only=False)
    swap = ("sh", "-c", f"rmdir /shared/sub && ln -s {stage.host} /shared/sub")
    await stage.call(*swap, mounts=(bind,))
    sub = Mount(target="/sub", source=str(shared / "sub"))
    text = await outcome(stage.call("cat", "/sub/bait", mounts=(sub,)))
    if stage.token in text:
        return Finding("open", "the caller named a path that now is a link, and it was followed")
    return contained(text)


async def bind_keeps_others_out(stage: Stage) -> Finding:
    """As root: a file that is root's alone stays unreadable though it was mounted."""
    path = stage.home / "roots-own"
    path.write_text(stage.token)
    path.chmod(0o600)
    bind = Mount(target="/mounted", source=str(path))
    text = await outcome(stage.call("cat", "/mounted", mounts=(bind,)))
    if os.getuid() != 0:
        return Finding("harmless", "the caller's own file, which the caller mounted")
    return escaped(text) if stage.token in text else contained(text.strip())
