"""An unpacked image without a store, for tests of what is planned before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.busybox import GROUP, PASSWD
from tests.support.local_calls import function_of

from wherry.engines.local import plan
from wherry.images.model import Image, ImageConfig

if TYPE_CHECKING:
    from wherry.engines.local.plan import Plan


def image_at(rootfs: Path, config: ImageConfig | None = None) -> Image:
    """Return an image of what lies in a directory."""
    digest = f"sha256:{'0' * 64}"
    return Image(
        id=digest,
        digest=digest,
        references=("docker.io/library/busybox:latest",),
        config=config or ImageConfig(),
        rootfs=rootfs,
        size=0,
        layers=(),
    )


def small_rootfs(at: Path) -> Path:
    """Make a root file system of names only."""
    for name in ("bin", "etc", "tmp", "usr", "var/lib"):
        (at / name).mkdir(parents=True)
    (at / "bin/sh").write_text("#!")
    (at / "etc/passwd").write_text(PASSWD)
    (at / "etc/group").write_text(GROUP)
    (at / "lib").symlink_to("usr")
    return at


def planned(rootfs: Path, *command: str, config: ImageConfig | None = None, **fields: Any) -> Plan:
    """Plan a function on an image at ``rootfs``."""
    return plan.make(function_of(*command, **fields), image_at(rootfs, config))
