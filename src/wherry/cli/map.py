"""``wherry map``: call an image once for each file of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import call_options, engines
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

_TEXT = """\
Reads the paths of files from stdin, one a line. Each file is the stdin of a container of its \
own, whose stdout becomes a file of the same name in DIR: complete, or not there. Exit code 0 \
when all of them succeeded, 1 when some failed, which are listed at the end."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "map",
        summary="Call an image once for each file of a list",
        text=_TEXT,
        examples=(
            "ls *.png | wherry map -P 4 -o small --suffix .jpg magick convert - jpg:-",
            "find pages -name '*.md' -print0 | wherry map -0 -o html pandoc/core -t html",
        ),
        operands=(
            Operand("IMAGE", "as docker names it"),
            Operand("ARG", "for the program, the same in every call", True, True),
        ),
        options_first=True,
    )
    made.section("Files in and out")
    made.value("-o", "--out-dir", metavar="DIR", help="where the outputs go; made if missing")
    made.value("--suffix", metavar="SUFFIX", help="of the outputs, in place of the inputs' own")
    made.value("-P", "--max-procs", metavar="NUMBER",
               help="containers at one time; twice the number of CPUs by default")  # fmt: skip
    made.flag("-0", "--null", help="paths in the list end with a NUL character")
    made.flag("-q", "--quiet", help="no progress, and nothing of what containers say on stderr")
    made.flag("--json", help="print a JSON object for each call, a line each, as they end")
    call_options.declare(made)
    engines.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Call them all, and return the exit code."""
    from wherry.cli import mapping

    if not args.out_dir:
        raise UsageError("--out-dir is missing: where do the outputs go?")
    function = call_options.function_of(args)
    import asyncio

    return asyncio.run(mapping.call_all(function, args))
