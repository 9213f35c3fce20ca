"""``wherry run``: call an image as a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import call_options, engines
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse

_TEXT = """\
Its stdin, stdout and stderr are ours, byte for byte; the exit code is the program's own. \
Options end at IMAGE: what follows it belongs to the program.

Exit codes of ours: 124 the timeout, 125 wherry failed, 126 the program cannot be executed, \
127 the image has no such program, 2 the command cannot be right. SIGINT, SIGTERM and SIGHUP \
are handed to the program; a second one, or ten seconds, kill it."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "run",
        summary="Call an image as a function",
        text=_TEXT,
        examples=(
            "echo hello | wherry run busybox tr a-z A-Z",
            "wherry run --timeout 10s -m 256m python:3.12 python -c 'print(6 * 7)'",
            "wherry run --file in.txt:/in.txt --collect /out:results convert /in.txt /out",
        ),
        operands=(
            Operand("IMAGE", "as docker names it: busybox, ghcr.io/me/tool:1.2, …@sha256:…"),
            Operand("ARG", "for the program, in place of the image's own", True, True),
        ),
        options_first=True,
    )
    made.section("Input and output")
    made.flag("-i", "--interactive", help="read stdin even when it is a terminal")
    made.flag("-q", "--quiet", help="say nothing of our own but errors")
    made.flag("--json", help="print one JSON object when it has ended, with its output in it")
    call_options.declare(made)
    engines.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Run it, and return the exit code."""
    function = call_options.function_of(args)
    import asyncio

    from wherry.cli import calling

    return asyncio.run(calling.call(function, args))
