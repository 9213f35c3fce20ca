"""``wherry login``: log in to a registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

DOCKER_HUB = "docker.io"
_PASSWORD_BYTES = 1 << 20


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "login",
        summary="Log in to a registry",
        text="The registry is asked first; only what it accepts is stored, readable by this user "
        "alone, apart from docker's own logins (which are used too).",
        examples=("wherry login -u me --password-stdin ghcr.io < token",),
        operands=(Operand("REGISTRY", "its host[:port]; Docker Hub when left out", optional=True),),
    )
    made.value("-u", "--username", metavar="NAME", help="asked for on a terminal when left out")
    made.flag("--password-stdin", help="read the password or token from stdin")
    made.refuse({"-p": _NO_PASSWORD, "--password": _NO_PASSWORD})
    return made


_NO_PASSWORD = "a password among the arguments is seen by every user; use --password-stdin"  # noqa: S105


def main(args: argparse.Namespace) -> int:
    """Log in, and return the exit code."""
    import asyncio

    from wherry import config
    from wherry.images.credentials import Credentials, own_file
    from wherry.images.login import login

    registry = args.registry or DOCKER_HUB
    username = args.username or _ask("Username: ", option="--username", secret=False)
    if args.password_stdin:
        password = _from_stdin()
    else:
        password = _ask("Password: ", option="--password-stdin", secret=True)
    if not password:
        raise UsageError("the password is empty")
    settings = config.settings()
    asyncio.run(
        login(
            registry,
            Credentials(username, password),
            file=own_file(settings),
            insecure=settings.insecure_registries,
        )
    )
    standard.say(f"logged in to {registry} as {username}")
    return 0


def _ask(prompt: str, *, option: str, secret: bool) -> str:
    if not os.isatty(standard.STDIN):
        raise UsageError(f"stdin is no terminal to ask at; give {option}")
    import getpass

    return getpass.getpass(prompt) if secret else input(prompt)


def _from_stdin() -> str:
    data = b""
    while len(data) <= _PASSWORD_BYTES and (more := os.read(standard.STDIN, _PASSWORD_BYTES)):
        data += more
    return data.decode(errors="surrogateescape").removesuffix("\n").removesuffix("\r")
