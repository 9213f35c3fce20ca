"""A root file system made of this machine's static busybox: two megabytes, in a moment."""

from __future__ import annotations

import io
import subprocess
import tarfile
from functools import cache
from pathlib import Path

from tests.support.require import missing

_PATHS = ("/usr/bin/busybox", "/bin/busybox")
_DIRECTORIES = {"bin": 0o755, "etc": 0o755, "tmp": 0o1777, "root": 0o700, "var": 0o755,
                "var/tmp": 0o1777, "usr": 0o755, "run": 0o755}  # fmt: skip
PASSWD = "root:x:0:0:root:/root:/bin/sh\nferryman:x:1000:1000:Ferryman:/home/ferryman:/bin/sh\n"
GROUP = "root:x:0:\nferryman:x:1000:\nboats:x:2000:ferryman\n"


def busybox() -> Path:
    """Return the machine's static busybox."""
    found = [path for path in map(Path, _PATHS) if path.exists()]
    return found[0] if found else missing("busybox-static")


@cache
def rootfs_tar() -> bytes:
    """Return the root file system as a tar archive."""
    program = busybox()
    applets = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, mode in _DIRECTORIES.items():
            _add(tar, name, type=tarfile.DIRTYPE, mode=mode)
        _add(tar, "bin/busybox", data=program.read_bytes(), mode=0o755)
        for applet in applets.stdout.split():
            if applet != "busybox":
                _add(tar, f"bin/{Path(applet).name}", type=tarfile.SYMTYPE, link="busybox")
        _add(tar, "etc/passwd", data=PASSWD.encode())
        _add(tar, "etc/group", data=GROUP.encode())
    return buffer.getvalue()


def _add(
    tar: tarfile.TarFile,
    name: str,
    *,
    data: bytes = b"",
    type: bytes = tarfile.REGTYPE,  # noqa: A002
    mode: int = 0o644,
    link: str = "",
) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.linkname, entry.size = type, mode, link, len(data)
    tar.addfile(entry, io.BytesIO(data))
