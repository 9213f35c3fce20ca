"""``wherry serve``: functions over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import engines, guard_options, standard
from wherry.cli.parsing import Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from wherry.server.options import ServeOptions
    from wherry.service.admission import Capacity

_TEXT = """\
Deployed functions are called at /function/NAME: the request's body is their stdin, their stdout \
the answer. The gateway speaks OpenFaaS's API, so its tools work here; `wherry deploy` is ours.

Everybody who is let in may run programs here. Basic auth and tokens (`wherry token`) guard all \
but calls; --no-auth is for this machine alone, and refused on any other address.

SIGTERM lets calls end, and hands queued ones back; a second one ends them now."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "serve",
        summary="Serve functions over HTTP",
        text=_TEXT,
        examples=(
            "wherry serve --no-auth",
            "wherry serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem",
            "wherry serve --listen unix:/run/wherry.sock --config wherry.toml",
        ),
    )
    made.section("Where it listens")
    made.values(
        "--listen",
        metavar="ADDRESS",
        help="HOST:PORT, [V6]:PORT or unix:PATH, several times; 127.0.0.1:8080",
    )
    made.value("--socket-mode", metavar="MODE", help="permissions of unix sockets; 600")
    made.value("--tls-cert", metavar="FILE", help="certificate chain (PEM), read again on change")
    made.value("--tls-key", metavar="FILE", help="its key, unless it is in the same file")
    made.section("What it serves")
    made.values("--config", metavar="FILE", help="wherry.toml with functions; read on change")
    made.values("--stack", metavar="FILE", help="OpenFaaS's stack.yaml; read on change")
    made.section("Who is let in")
    made.flag("--no-auth", help="everybody who can reach a loopback address or unix socket")
    made.flag("--auth-calls", help="calls need a login too, not only those that ask for one")
    made.value("--basic-auth-user-file", metavar="FILE", help="holds the user; admin")
    made.value(
        "--basic-auth-password-file",
        metavar="FILE",
        help="holds the password; one is made otherwise, and kept in the data directory",
    )
    guard_options.declare(made)
    made.section("Limits")
    made.value("--max-body", metavar="SIZE", help="of a request; 8g")
    made.value("--max-timeout", metavar="TIME", help="of any call; 5m")
    made.value("--max-running", metavar="N", help="calls at one time; 256")
    made.value("--queue-wait", metavar="TIME", help="for a place, before it is a 503; 10s")
    made.value(
        "--workers", metavar="N", help="queued calls at one time; as many as CPUs, 2 at least"
    )
    made.value(
        "--idle",
        metavar="TIME",
        help="without a call until a function's ready containers are given up; 5m",
    )
    made.value("--grace", metavar="TIME", help="that calls have to end when it stops; 30s")
    made.section("Log")
    made.flag("--no-access-log", help="no line for each request")
    engines.declare(made, data_dir="of functions, records and the local engine, as WHERRY_DATA_DIR")
    return made


def main(args: argparse.Namespace) -> int:
    """Serve until a signal, and return the exit code."""
    options = options_of(args)
    import asyncio

    from wherry.server import journal, serving

    engine = engines.open_engine(args, quiet=True, keeps_state=True)
    journal.keep_journal(access=options.access_log)

    def greet(addresses: list[str]) -> None:
        standard.say(greeting(options, addresses))

    asyncio.run(serving.serve(options, engine, say=_say, greet=greet))
    return 0


def options_of(args: argparse.Namespace) -> ServeOptions:
    """Return what the command line asks for; raises :class:`UsageError`."""
    from pathlib import Path

    from wherry import config
    from wherry.server.options import ServeOptions

    if args.tls_key and not args.tls_cert:
        raise UsageError("--tls-key: there is no --tls-cert that it could be the key of")
    if args.basic_auth_user_file and not args.basic_auth_password_file:
        raise UsageError("--basic-auth-user-file: there is no --basic-auth-password-file to it")
    settings = config.settings()
    data_dir = Path(args.data_dir).absolute() if args.data_dir else settings.data_dir
    usual = ServeOptions(data_dir=data_dir)
    return ServeOptions(
        data_dir=data_dir,
        listen=tuple(args.listen) or usual.listen,
        socket_mode=_mode(args.socket_mode, usual.socket_mode),
        engine=(args.engine or settings.engine).partition(":")[0],
        files=tuple(Path(path) for path in (*args.config, *args.stack)),
        no_auth=args.no_auth,
        auth_calls=args.auth_calls,
        guard=guard_options.read(args),
        user_file=_path(args.basic_auth_user_file),
        password_file=_path(args.basic_auth_password_file),
        tls_cert=_path(args.tls_cert),
        tls_key=_path(args.tls_key),
        max_body=_size(args.max_body, usual.max_body, name="--max-body"),
        max_timeout=_seconds(args.max_timeout, usual.max_timeout, name="--max-timeout"),
        capacity=_capacity(args, usual.capacity),
        idle=_seconds(args.idle, usual.idle, name="--idle"),
        grace=_seconds(args.grace, usual.grace, name="--grace", least=0.0),
        workers=_count(args.workers, usual.workers, name="--workers"),
        access_log=not args.no_access_log,
    )


def greeting(options: ServeOptions, addresses: list[str]) -> str:
    """Return what the first screen says; its last line begins with ``ready``."""
    from wherry._version import __version__
    from wherry.triggers.http.passwords import PASSWORD_FILE

    urls = [each if each.startswith("unix:") else f"{options.scheme}://{each}"
            for each in addresses]  # fmt: skip
    login = f"admin, with the password in {options.state / PASSWORD_FILE}"
    if options.password_file is not None:
        login = f"as in {options.password_file}"
    lines = [
        f"wherry {__version__}",
        *(f"  functions  {url}/function/NAME" for url in urls),
        *(f"  dashboard  {url}/ui/" for url in urls if not url.startswith("unix:")),
        f"  login      {'nobody is asked (--no-auth)' if options.no_auth else login}",
        f"  engine     {options.engine}, with its state in {options.state}",
        f"ready {' '.join(urls)}",
    ]
    return "\n".join(lines)


def _capacity(args: argparse.Namespace, usual: Capacity) -> Capacity:
    from dataclasses import replace

    return replace(
        usual,
        max_running=_count(args.max_running, usual.max_running, name="--max-running"),
        queue_wait=_seconds(args.queue_wait, usual.queue_wait, name="--queue-wait", least=0.0),
    )


def _path(text: str | None) -> Path | None:
    from pathlib import Path

    return Path(text) if text else None


def _size(text: str | None, usual: int, *, name: str) -> int:
    from wherry.units import parse_size

    return usual if text is None else parse_size(text, name=name)


def _seconds(text: str | None, usual: float, *, name: str, least: float = 0.001) -> float:
    from wherry.units import parse_duration

    seconds = usual if text is None else parse_duration(text, name=name)
    if seconds < least:
        raise UsageError(f"{name}: {text!r} leaves no time")
    return seconds


def _count(text: str | None, usual: int, *, name: str) -> int:
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name}: {text!r} must be a whole number from 1")
    return int(text)


def _mode(text: str | None, usual: int) -> int:
    if text is None:
        return usual
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise UsageError(f"--socket-mode: {text!r} must be permissions such as 660")
    return mode


def _say(text: str) -> None:
    standard.say(f"wherry serve: {text}")
