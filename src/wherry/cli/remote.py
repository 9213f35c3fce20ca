"""``wherry remote``: containers at a distance, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse

    from wherry.engines.docker.engine import DockerEngine
    from wherry.remote.settings import RemoteSettings

_TEXT = """\
Runs containers of this machine's Docker engine for who has the token: PUT / runs one, GET / lists \
them, GET /NAME shows logs, POST /NAME executes, DELETE /NAME removes, HEAD /IMAGE pulls. Clients \
of DockerServer work unchanged. Every option is an environment variable too: DS_TOKEN, DS_PORT, …

Who has the token sees, enters and removes every container of the engine. What it runs has nothing \
of the host unless --mounts or --policy say so. Serve --https, or an address that strangers cannot \
reach.

SIGTERM lets requests end; a second one ends them now, with their containers."""


def parser() -> Parser:
    """Return the options."""
    from wherry.remote.options import OPTIONS

    made = Parser(
        "remote",
        summary="Run containers for clients elsewhere, as DockerServer does",
        text=_TEXT,
        examples=(
            "DS_TOKEN=$(openssl rand -hex 32) wherry remote --host 127.0.0.1",
            "wherry remote --token_file token --https --cert cert.pem --key key.pem",
        ),
    )
    for option in OPTIONS:
        made.section(option.section or "Its end")
        if option.metavar:
            made.value(*option.names, metavar=option.metavar, help=option.help)
        else:
            made.flag(*option.names, help=option.help)
    made.section("Tokens by name")
    made.value(
        "--new-token",
        metavar="NAME",
        help="Make a token, add it to the file of --tokens, print it, and serve nothing",
    )
    made.flag("--admin", help="The new token may see and touch what others made")
    made.section("Where")
    made.value("--engine", metavar="ENGINE", help="A Docker engine (default: docker:)")
    return made


def main(args: argparse.Namespace) -> int:
    """Serve until a signal, and return the exit code."""
    if args.new_token is not None:
        return _make_token(args)
    settings = settings_of(args)
    import asyncio

    from wherry.engines.docker.engine import DockerEngine
    from wherry.remote.logfiles import LEVELS, LogFiles
    from wherry.remote.unused import unused
    from wherry.server import journal, remoting

    for each in unused(settings):
        _say(each)
    made: DockerEngine = DockerEngine.connect(settings.engine)
    files = None
    if settings.log_folder is not None:
        files = LogFiles(
            settings.log_folder, max_size=settings.log_max_size, expiry=settings.log_expiry
        )
    journal.keep_journal(access=True, level=LEVELS[settings.log_level], files=files)

    def greet(addresses: list[str]) -> None:
        standard.say(greeting(settings, addresses))

    asyncio.run(remoting.serve(settings, made, say=_say, greet=greet))
    return 0


def _make_token(args: argparse.Namespace) -> int:
    from pathlib import Path

    from wherry.errors import UsageError
    from wherry.remote.tokens import add_token

    if not args.tokens:
        raise UsageError("--new-token: --tokens FILE is missing, which says where it goes")
    print(add_token(Path(args.tokens), args.new_token, is_admin=args.admin))
    return 0


def settings_of(args: argparse.Namespace) -> RemoteSettings:
    """Return what the server is told; raises :class:`wherry.errors.UsageError`."""
    from wherry import config
    from wherry.engines.docker.address import parse_spec
    from wherry.remote.options import OPTIONS, read_settings

    named = config.settings().engine
    engine = args.engine or (named if named.startswith("docker") else "docker:")
    parse_spec(engine)
    given = {option.field: getattr(args, option.field) for option in OPTIONS}
    return read_settings(given, config.variable, engine=engine)


def greeting(settings: RemoteSettings, addresses: list[str]) -> str:
    """Return what the first screen says; its last line begins with ``ready``."""
    from wherry._version import __version__

    policy = settings.policy or "the usual: no network of the host, no capabilities"
    mounts = ", ".join(settings.mounts) or "none"
    lines = [
        f"wherry {__version__}",
        f"  engine     {settings.engine}",
        f"  policy     {policy}",
        f"  mounts     {mounts}{' and what the policy allows' if settings.policy else ''}",
        f"ready {' '.join(addresses)}",
    ]
    return "\n".join(lines)


def _say(text: str) -> None:
    standard.say(f"wherry remote: {text}")
