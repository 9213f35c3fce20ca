"""``wherry serve``: functions over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import engines, guard_options, queue_options, serve_options, standard
from wherry.cli.parsing import Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.serve_values import Values
    from wherry.server.options import ServeOptions
    from wherry.service.admission import Capacity
    from wherry.triggers.http.forwarding import Trusted

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
    serve_options.declare(made)
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
    """Return what a server is told; raises :class:`UsageError`.

    What its file says of engine and data directory is filled in, for who opens the engine.
    """
    from pathlib import Path

    from wherry import config
    from wherry.server.options import ServeOptions

    values = _values(args)
    args.engine = values.text("engine")
    if args.data_dir is None and (said := values.file_path("data_dir")):
        args.data_dir = str(said)
    settings = config.settings()
    data_dir = (values.path("data_dir") or settings.data_dir).absolute()
    usual = ServeOptions(data_dir=data_dir)
    made = ServeOptions(
        data_dir=data_dir,
        listen=values.texts("listen") or usual.listen,
        socket_mode=values.mode("socket_mode", usual.socket_mode),
        trusted=_trusted(values),
        engine=(values.text("engine") or settings.engine).partition(":")[0],
        files=(*map(Path, args.config), *values.paths("stack")),
        ofelia=values.paths("ofelia"),
        ofelia_labels=values.is_so("ofelia_labels"),
        swarm_labels=values.is_so("swarm_labels"),
        schedule_local=values.is_so("schedule_local"),
        no_auth=values.is_so("no_auth"),
        auth_calls=values.is_so("auth_calls"),
        guard=guard_options.read(values),
        user_file=values.path("basic_auth_user_file"),
        password_file=values.path("basic_auth_password_file"),
        tls_cert=values.path("tls_cert"),
        tls_key=values.path("tls_key"),
        max_body=values.size("max_body", usual.max_body),
        max_timeout=values.seconds("max_timeout", usual.max_timeout),
        capacity=_capacity(values, usual.capacity),
        idle=values.seconds("idle", usual.idle),
        grace=values.seconds("grace", usual.grace, least=0.0),
        workers=values.count("workers", usual.workers),
        queue=queue_options.read_limits(values),
        retries=queue_options.read_policy(values),
        access_log=not values.is_so("no_access_log"),
    )
    if made.tls_key and not made.tls_cert:
        raise UsageError("--tls-key: there is no --tls-cert that it could be the key of")
    if made.user_file and not made.password_file:
        raise UsageError("--basic-auth-user-file: there is no --basic-auth-password-file to it")
    return made


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


def _values(args: argparse.Namespace) -> Values:
    from pathlib import Path

    from wherry.cli.serve_values import Values
    from wherry.functions.files import is_stack

    return Values.read(args, [path for path in map(Path, args.config) if not is_stack(path)])


def _trusted(values: Values) -> Trusted:
    from wherry.triggers.http.forwarding import Trusted

    made = Trusted()
    for said in values.each("trusted_proxy"):
        made |= Trusted.parse(said.text, name=said.where)
    return made


def _capacity(values: Values, usual: Capacity) -> Capacity:
    from wherry.service.admission import Capacity

    return Capacity(
        max_running=values.count("max_running", usual.max_running),
        max_waiting=values.count("max_waiting", usual.max_waiting, least=0),
        queue_wait=values.seconds("queue_wait", usual.queue_wait, least=0.0),
    )


def _say(text: str) -> None:
    standard.say(f"wherry serve: {text}")
