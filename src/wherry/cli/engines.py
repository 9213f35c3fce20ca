"""The engine that a command uses, and what it shows while it pulls."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from wherry.errors import Unsupported, UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser
    from wherry.engines.base import Engine
    from wherry.engines.local.engine import LocalEngine
    from wherry.images.progress import Progress
    from wherry.images.store import ImageStore

    ShowPull = Callable[[str], AbstractContextManager[Progress]]

LOCAL = "local"


def declare(parser: Parser) -> None:
    """Declare where it runs and where things are kept."""
    parser.section("Where")
    parser.value("--engine", metavar="ENGINE", help="local, unless WHERRY_ENGINE says otherwise")
    declare_data_dir(parser)


def declare_data_dir(parser: Parser) -> None:
    """Declare where the local engine keeps its images."""
    parser.section("Where")
    parser.value("--data-dir", metavar="DIR", help="of the local engine, as WHERRY_DATA_DIR")


def open_engine(
    args: argparse.Namespace, *, quiet: bool = False, keeps_state: bool = False
) -> Engine:
    """Return the engine that the options or the environment name.

    ``keeps_state`` is whether the command has a use of its own for the data directory, whatever
    the engine.
    """
    from wherry import config

    spec = args.engine or config.settings().engine
    if spec.partition(":")[0] == LOCAL:
        return _local(spec, args.data_dir, show=None if quiet else shown_on_stderr)
    from wherry.engines import connect, shown

    if args.data_dir is not None and not keeps_state:
        raise UsageError(f"--data-dir: the engine {shown(spec)!r} keeps nothing on this machine")
    return connect(spec)


def open_for_calls(args: argparse.Namespace) -> Engine:
    """Return the engine for calls, which gives them Docker sockets when that was asked for."""
    engine = open_engine(args, quiet=args.quiet)
    if args.docker_api is None:
        return engine
    from wherry import config
    from wherry.proxy.tenants.places import Places
    from wherry.server.docker_api import with_docker_api

    return with_docker_api(engine, places=Places(config.settings().data_dir / "proxy"))


def open_local(args: argparse.Namespace) -> LocalEngine:
    """Return the local engine, for commands that only it has; raises :class:`Unsupported`."""
    from wherry import config

    spec = getattr(args, "engine", None) or config.settings().engine
    if spec.partition(":")[0] != LOCAL:
        from wherry.engines import shown

        named = shown(spec)
        raise Unsupported(f"this is for the engine 'local', and not for {named!r} (WHERRY_ENGINE)")
    return _local(spec, args.data_dir)


def open_store(args: argparse.Namespace) -> ImageStore:
    """Return the images of the local engine; raises :class:`Unsupported`."""
    return open_local(args).store


def shown_on_stderr(name: str) -> AbstractContextManager[Progress]:
    """Show the pull of an image while the block runs: bars on a terminal, else lines."""
    import sys

    from wherry.images.progress import shown

    return shown(name, stream=sys.stderr)


def _local(spec: str, data_dir: str | None, *, show: ShowPull | None = None) -> LocalEngine:
    from wherry.engines.local.engine import LocalEngine

    if data_dir == "":
        raise UsageError("--data-dir: '' is no directory")
    engine = LocalEngine.connect(f"{LOCAL}:{data_dir}" if data_dir else spec)
    return LocalEngine(engine.settings, progress=show) if show else engine
