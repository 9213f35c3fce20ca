"""How an image runs that is made here: the options of ``import`` and ``from-host``."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser
    from wherry.images.model import ImageConfig


def declare(parser: Parser) -> None:
    """Declare the fields of an image's configuration."""
    parser.section("How it runs")
    words = "words as in a shell, or a JSON array"
    parser.value("--entrypoint", metavar="WORDS", help=f"what always runs: {words}")
    parser.value("--cmd", metavar="WORDS", help=f"what runs unless a call says more: {words}")
    parser.values("-e", "--env", metavar="NAME=VALUE", help="set a variable")
    parser.value("-u", "--user", metavar="USER[:GROUP]", help="whom it runs as")
    parser.value("-w", "--workdir", metavar="PATH", help="the directory it starts in")
    parser.values("--volume", metavar="PATH", help="a directory that is empty in each call")
    parser.value("--stop-signal", metavar="SIGNAL", help="what asks it to end")
    parser.values("-l", "--label", metavar="NAME[=VALUE]", help="add a label")


def config_of(args: argparse.Namespace) -> ImageConfig:
    """Return the configuration that the options describe; raises :class:`UsageError`."""
    from wherry.images.model import ImageConfig
    from wherry.options.environment import labels, variables

    for option, paths in (("--workdir", [args.workdir]), ("--volume", args.volume)):
        for path in paths:
            if path is not None and not path.startswith("/"):
                raise UsageError(f"{option}: {path!r} must be an absolute path in the image")
    return ImageConfig(
        entrypoint=_words(args.entrypoint, option="--entrypoint"),
        cmd=_words(args.cmd, option="--cmd"),
        env=variables(args.env),
        user=args.user or "",
        workdir=args.workdir or "",
        volumes=tuple(args.volume),
        stop_signal=args.stop_signal,
        labels=labels(args.label),
    )


def _words(text: str | None, *, option: str) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        words = json.loads(text) if text.lstrip().startswith("[") else shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{option}: {text!r} cannot be read: {error}") from error
    if not all(isinstance(word, str) for word in words):
        raise UsageError(f"{option}: {text!r} must be an array of strings")
    return tuple(words)
