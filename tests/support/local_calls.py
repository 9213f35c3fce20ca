"""Calls on the real local engine, in a line each."""

from __future__ import annotations

import dataclasses
import io
import tarfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.busybox import rootfs_tar
from tests.support.local_harness import data_directory, local_settings

from wherry import streams
from wherry.engines.local.engine import LocalEngine
from wherry.images.rootfs_import import import_rootfs
from wherry.images.store import ImageStore
from wherry.models import Function, Invocation, Limits

if TYPE_CHECKING:
    from wherry.engines.base import Container, Engine, Stdin
    from wherry.images.model import ImageConfig


@contextmanager
def data_with_busybox() -> Iterator[Path]:
    """Make a data directory that has the image ``busybox``."""
    with data_directory() as data:
        settings = local_settings(data)
        settings.make_directories()
        store = ImageStore(settings.images, owner=settings.sandbox)
        import_rootfs(store, io.BytesIO(rootfs_tar()), reference="busybox")
        yield data


@dataclasses.dataclass(frozen=True)
class Calls:
    """An engine with the image ``busybox``, and short ways to call it."""

    engine: LocalEngine
    data: Path
    around: Engine | None = None
    """A wrapper of the engine, which calls go through."""

    @property
    def can_limit_memory(self) -> bool:
        return self.engine.cgroups.support.memory

    def start(
        self,
        *command: str,
        stdin: Stdin = streams.NOTHING,
        args: tuple[str, ...] = (),
        call_env: Mapping[str, str] | None = None,
        **fields: Any,
    ) -> AbstractAsyncContextManager[Container]:
        function = function_of(*command, **fields)
        invocation = Invocation(function=function, args=args, env=call_env or {})
        return (self.around or self.engine).start(invocation, stdin)

    async def run(self, *command: str, **fields: Any) -> streams.Collected:
        async with self.start(*command, **fields) as container:
            return await streams.collect(container)

    async def sh(self, script: str, **fields: Any) -> streams.Collected:
        return await self.run("sh", "-c", script, **fields)

    async def lines(self, script: str, **fields: Any) -> list[str]:
        """Return what a shell script writes, which is to succeed and to complain of nothing."""
        result = await self.sh(script, **fields)
        assert (result.stderr, result.exit.code) == (b"", 0), result
        return result.stdout.decode(errors="surrogateescape").splitlines()

    def image(
        self,
        reference: str,
        *,
        config: ImageConfig | None = None,
        add: Mapping[str, bytes | str | int] | None = None,
        without: tuple[str, ...] = (),
    ) -> str:
        """Import busybox with changes: bytes are a file, text a symlink, a number a directory."""
        tar = changed(rootfs_tar(), add=add or {}, without=without)
        import_rootfs(self.engine.store, io.BytesIO(tar), reference=reference, config=config)
        return reference


@asynccontextmanager
async def calls_on(data: Path, **settings: Any) -> AsyncIterator[Calls]:
    """Make an engine on a data directory, with settings of its own."""
    engine = LocalEngine(dataclasses.replace(local_settings(data), **settings))
    try:
        yield Calls(engine, data)
    finally:
        await engine.aclose()


def function_of(*command: str, **fields: Any) -> Function:
    """Return a function; limits may be given by their own names."""
    names = {field.name for field in dataclasses.fields(Limits)}
    limits = Limits(**{name: fields.pop(name) for name in names & fields.keys()})
    return Function(
        **{"name": "test", "image": "busybox", "command": command, "limits": limits, **fields}
    )


def changed(
    tar: bytes, *, add: Mapping[str, bytes | str | int], without: tuple[str, ...] = ()
) -> bytes:
    """Return a tar archive without some names and with others at its end."""
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as old,
        tarfile.open(fileobj=buffer, mode="w") as new,
    ):
        for entry in old:
            if entry.name not in without:
                new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)
        for name, what in add.items():
            _add(new, tarfile.TarInfo(name), what)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, entry: tarfile.TarInfo, what: bytes | str | int) -> None:
    entry.mode = 0o755
    match what:
        case bytes():
            entry.size = len(what)
        case str():
            entry.type, entry.linkname = tarfile.SYMTYPE, what
        case int():
            entry.type, entry.mode = tarfile.DIRTYPE, what
    tar.addfile(entry, io.BytesIO(what) if isinstance(what, bytes) else None)
