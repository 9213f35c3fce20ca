"""``wherry proxy inject``: a docker command whose container gets a socket of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli.parsing import Operand, Parser
from wherry.cli.proxy import place

if TYPE_CHECKING:
    import argparse

_TEXT = """\
Adds to `docker run` what its container needs: the socket's directory at /run/wherry-docker, and \
DOCKER_HOST. Serves the socket until that container has ended, then removes all that was made \
through it. The exit code is the command's."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "proxy inject",
        summary="Run a docker command whose container gets a socket of its own",
        text=_TEXT,
        examples=("wherry proxy inject --image busybox -- docker run -i my/parent",),
        operands=(Operand("COMMAND", "docker run …, behind --", False, True),),
        options_first=True,
    )
    place.declare_policy(made)
    place.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Run it, and return its exit code."""
    import asyncio

    from wherry.server.injecting import inject, injected_words

    injected_words(args.command, options=[])  # a command that cannot be is refused first
    return asyncio.run(
        inject(
            args.command,
            address=place.address(args),
            places=place.places(args),
            policy=place.policy_text(args),
            ttl=place.ttl(args),
        )
    )
