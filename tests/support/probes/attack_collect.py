"""What a program leaves behind for whoever copies it out."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.probes.attack import Finding, Watch, contained, escaped, outcome

from wherry.models import Collect

if TYPE_CHECKING:
    from tests.support.probes.stage import Stage

_MOST = 4 << 20


def _collect(to: Path, path: str = "/out") -> dict[str, Any]:
    return {"collect": (Collect(path=path, to=str(to), max_bytes=_MOST, max_files=1000),)}


async def odd_files(stage: Stage) -> Finding:
    """Links, fifos, sockets, setuid bits and names that mean something elsewhere."""
    to = stage.directory("collected")
    watch = Watch(stage)
    script = "mkdir /out && /probes leave /out"
    await watch.attempt("odd files", stage.call("sh", "-c", script, **_collect(to)))
    for path in to.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or mode & 0o7000:
            watch.problems.append(f"{path.name!r} has mode {mode:o}")
    names = sorted(os.fsencode(path.name) for path in to.iterdir())
    if b"set\nuser|id .." not in names:
        watch.problems.append(f"an ordinary file is missing: {names}")
    return watch.finding()


async def directory_becomes_a_link(stage: Stage) -> Finding:
    """Checked as a directory, copied as a link."""
    watch = Watch(stage)
    for script in (
        f"ln -s {stage.host} /out",
        f"mkdir -p /a/out && mv /a /b && ln -s {stage.host.parent} /a",
        "ln -s / /out",
        f"mkdir /out && ln -s {stage.host} /out/sub",
    ):
        for path in ("/out", "/a/host", "/out/sub"):
            to = stage.directory("collected")
            call = stage.call("sh", "-c", script, **_collect(to, path))
            await watch.attempt(script, call)
            found = [path.read_bytes() for path in to.rglob("*") if path.is_file()]
            if stage.token.encode() in found:
                watch.problems.append(f"{script}: the host's file was collected")
    return watch.finding()


async def target_holds_links(stage: Stage) -> Finding:
    """Where it is copied to, links lead elsewhere."""
    watch = Watch(stage)
    for name in ("file", "dir"):
        to = stage.directory("collected")
        (to / name).symlink_to(stage.host / "bait" if name == "file" else stage.host)
        script = "mkdir -p /out/dir && echo spoilt >/out/file && echo spoilt >/out/dir/bait"
        await watch.attempt(name, stage.call("sh", "-c", script, **_collect(to)))
    return watch.finding()


async def too_large(stage: Stage) -> Finding:
    to = stage.directory("collected")
    call = stage.call("sh", "-c", "mkdir /out && /probes sparse /out/big", **_collect(to))
    text = await outcome(call)
    size = sum(path.stat().st_size for path in to.rglob("*"))
    if "UsageError" not in text or size > _MOST:
        return escaped(f"{size} bytes copied: {text}")
    return contained(f"a sparse TiB: UsageError after {size} bytes")


async def too_many(stage: Stage) -> Finding:
    to = stage.directory("collected")
    call = stage.call("sh", "-c", "mkdir /out && /probes many /out 3000", **_collect(to))
    text = await outcome(call)
    count = len(list(to.iterdir()))
    if "UsageError" not in text or count > 1000:
        return escaped(f"{count} files copied: {text}")
    return contained(f"3000 files: UsageError after {count}")


async def too_deep(stage: Stage) -> Finding:
    to = stage.directory("collected")
    call = stage.call("sh", "-c", "mkdir /out && /probes deep /out 1500", **_collect(to))
    text = await outcome(call)
    return contained("1500 levels: UsageError") if "UsageError" in text else escaped(text)


async def unreadable(stage: Stage) -> Finding:
    """Files nobody may read are no way to make the engine fail in an unknown manner."""
    to = stage.directory("collected")
    script = "mkdir /out && echo x >/out/a && mkdir /out/d && echo x >/out/d/f && chmod 0 /out/*"
    text = await outcome(stage.call("sh", "-c", script, **_collect(to)))
    return contained(text.strip()[:60] or "collected")


async def whiteouts(stage: Stage) -> Finding:
    """What the program removed does not come back from the image."""
    to = stage.directory("collected")
    script = "rm -r /etc/passwd && rm -rf /var && mkdir /var && echo new >/var/new"
    await stage.call("sh", "-c", script, **_collect(to, "/etc"))
    names = {path.name for path in to.iterdir()}
    if "passwd" in names or "group" not in names:
        return escaped(f"collected {sorted(names)}")
    return contained(f"collected {sorted(names)}")
