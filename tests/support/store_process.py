"""Another process that uses an image store, and stops at a chosen point to be killed there.

Run as a module: ``python -m tests.support.store_process ROOT ACTION [STAGE]``. It prints
``ready``, waits for a line, acts, and prints what happened; at its stage it prints ``stopped``
and waits for ever.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.layers import directory, entry, image_of, manifest_of, symlink, tar

from wherry.errors import ImageError
from wherry.images import applier, index, layout, registration
from wherry.images.model import OCI_MANIFEST
from wherry.images.store import ImageStore

ROOT = Path(__file__).parents[2]
LAYER = tar(
    directory("d"),
    *(entry(f"d/{number}", b"x" * 1000) for number in range(200)),
    symlink("link", "d"),
    entry("last", b"y"),
)
NUMBERED = [
    tar(directory(f"{n}"), *(entry(f"{n}/{m}", b"z" * 500) for m in range(50))) for n in range(4)
]


def start(root: Path, *words: str) -> subprocess.Popen[str]:
    """Start such a process; the caller ends it."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.store_process", str(root), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def _stop(*_: Any, **__: Any) -> None:
    print("stopped", flush=True)
    sys.stdin.read()


def _before(where: Any, name: str, action: Callable[..., None]) -> None:
    """Do something each time a function is called, then call it."""
    function = getattr(where, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        action(*args, **kwargs)
        return function(*args, **kwargs)

    setattr(where, name, wrapped)


STAGES: dict[str, Callable[[], None]] = {
    "unpacking": lambda: _before(applier, "_symlink_or_fifo", _stop),
    "unpacked": lambda: _before(registration, "sync_file_system", _stop),
    "renamed": lambda: _before(registration, "sync_directory", _stop),
    "recorded": lambda: _before(index.Index, "changing", _stop),
    "unnamed": lambda: _before(layout.Layout, "discard", _stop),
    "removing": lambda: _before(layout, "remove", _stop),
}


def _register(store: ImageStore) -> None:
    _before(registration, "unpack", lambda *_, **__: print("unpacks", flush=True))
    print(image_of(store, LAYER, reference="a").id, flush=True)


def _hold(store: ImageStore) -> None:
    with store.lease(store.get("a")):
        _stop()


def _fetch(store: ImageStore) -> None:
    from wherry.images.model import Descriptor

    with store.blobs.begin(Descriptor(media_type="x", digest="sha256:" + "1" * 64, size=9)) as blob:
        blob.write(b"half")
        _stop()


def _churn(store: ImageStore) -> None:
    """Do anything in any order until killed; nothing but an ImageError may come of it."""
    dice = random.Random()
    while True:
        number = dice.randrange(4)
        try:
            match dice.randrange(7):
                case 0 | 1 | 2:
                    with store.pulling():
                        manifest = manifest_of(store, *NUMBERED[: number + 1])
                        name = f"i{number}"
                        store.register(manifest, media_type=OCI_MANIFEST, reference=name)
                case 3:
                    store.remove(f"i{number}")
                case 4:
                    store.tag(f"i{number}", f"t{dice.randrange(3)}")
                case 5:
                    store.prune(all=dice.random() < 0.3)
                case 6:
                    with store.lease(store.get(f"i{number}")) as lease:
                        image = store.find(lease.image_id)
                        assert image is None or sum(1 for _ in image.rootfs.rglob("*")) > 50
        except ImageError:
            continue


ACTIONS = {
    "register": _register,
    "remove": lambda store: print(store.remove("a").images, flush=True),
    "hold": _hold,
    "fetch": _fetch,
    "churn": _churn,
}

if __name__ == "__main__":
    chosen = ImageStore(Path(sys.argv[1]))
    for stage in sys.argv[3:]:
        STAGES[stage]()
    print("ready", flush=True)
    sys.stdin.readline()
    ACTIONS[sys.argv[2]](chosen)
