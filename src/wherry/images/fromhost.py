"""An image made of programs of this machine: works offline, on any Linux."""

# Paths are text here: pathlib would tidy what has to stay as it is.
# ruff: noqa: PTH100, PTH113, PTH120
from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.images.build import assemble, config_bytes
from wherry.images.hostfiles import HostFiles
from wherry.images.model import OCI_LAYER, Image, ImageConfig
from wherry.images.platforms import host_platform

if TYPE_CHECKING:
    from wherry.images.store import ImageStore

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CREATED = "1970-01-01T00:00:00Z"
_NO_FILES: Mapping[str, Path] = MappingProxyType({})


def from_host(
    store: ImageStore,
    reference: str,
    *,
    programs: Sequence[str],
    config: ImageConfig | None = None,
    files: Mapping[str, Path] = _NO_FILES,
    trees: Sequence[Path] = (),
    search: str | None = None,
) -> Image:
    """Register an image of these programs and all they need to start.

    Programs are names on PATH (or ``search``, in PATH's form) or paths; each keeps its place,
    with the links that lead there, its shared libraries, and for a script the interpreter.
    ``files`` maps absolute paths in the image to files of this machine; ``trees`` are
    directories copied to their own place, such as a language's library. ``config`` says how
    it runs; without a command of its own the image runs the first program. The same files
    give the same digest.

    Raises :class:`UsageError` for a program or file that is not there or cannot be read,
    :class:`ImageError` for a library that is missing.
    """
    if not programs and not files and not trees:
        raise UsageError("image from host: name at least one program")

    def which(name: str) -> str:
        return _which(name, search=search)

    found = [which(name) for name in programs]
    contents = HostFiles()
    for tree in trees:
        contents.add_tree(os.path.abspath(tree))
    for path in found:
        contents.add_program(path, which=which)
    for target, source in files.items():
        contents.add_file(target, source=os.fspath(source))
    with store.pulling():
        with store.blobs.create() as new:
            contents.write(new)
            layer = new.commit(media_type=OCI_LAYER)
        whole = _complete(config or ImageConfig(), found)
        data = config_bytes(whole, [layer.digest], comment="wherry image from-host")
        return assemble(store, [layer], config=data, reference=reference)


def _which(name: str, *, search: str | None) -> str:
    if "/" in name:
        path: str | None = os.path.abspath(name) if os.path.isfile(name) else None
    else:
        path = shutil.which(name, path=search)
    if path is None:
        raise UsageError(
            f"program {name!r} is not on this machine's PATH; install it, or give its path"
        )
    return os.path.abspath(path)


def _complete(config: ImageConfig, programs: Sequence[str]) -> ImageConfig:
    """Fill in what the caller left open."""
    usual = _PATH.split(":")
    places = [os.path.dirname(path) for path in programs]
    path = ":".join(dict.fromkeys([*usual, *places]))
    platform = host_platform()
    silent = not config.entrypoint and not config.cmd
    return replace(
        config,
        env={"PATH": path, **config.env},
        cmd=tuple(programs[:1]) if silent else config.cmd,
        architecture=config.architecture or platform.architecture,
        variant=config.variant or platform.variant,
        created=config.created or _CREATED,
    )
