"""``wherry logout``: forget the login to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.login import DOCKER_HUB
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    return Parser(
        "logout",
        summary="Forget the login to a registry",
        text="Docker's own logins stay as they are.",
        operands=(Operand("REGISTRY", "its host[:port]; Docker Hub when left out", optional=True),),
    )


def main(args: argparse.Namespace) -> int:
    """Log out, and return the exit code: 1 when there was no login."""
    import asyncio

    from wherry import config
    from wherry.images.credentials import own_file
    from wherry.images.login import logout

    registry = args.registry or DOCKER_HUB
    if asyncio.run(logout(registry, file=own_file(config.settings()))):
        standard.say(f"logged out of {registry}")
        return 0
    standard.say(f"wherry logout: there is no login to {registry} of wherry's own")
    return 1
