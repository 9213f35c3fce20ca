"""``wherry invoke``: call a function of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import functions, gateway_client
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

_TEXT = """\
stdin is the request's body and the answer's is stdout, both streamed. Nothing runs here: a \
function that is deployed is called where its gateway is.

Exit codes: the function's own; 124 when its timeout ended it; 125 when the gateway could not call \
it, or broke the answer off."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "invoke",
        summary="Call a function of a gateway: stdin in, stdout out",
        text=_TEXT,
        examples=(
            "echo hello | wherry invoke upper",
            "wherry invoke --async --callback http://me:9000/done convert < report.odt",
        ),
        operands=(Operand("FUNCTION", "its name"),),
    )
    made.flag("-i", "--interactive", help="read stdin even when it is a terminal")
    made.flag("-q", "--quiet", help="say nothing of our own but errors")
    made.flag("--live", help="show the answer as it comes, also before it is known to succeed")
    functions.declare_namespace(made)
    made.section("Request")
    made.value("--timeout", metavar="TIME", help="seconds, or as in 1m30s; can only shorten")
    made.values("-H", "--header", metavar="NAME:VALUE", help="add a header")
    made.value("-X", "--method", metavar="METHOD", help="POST, unless it says otherwise")
    made.value("--path", metavar="PATH", help="the part of the address after the name, and ?query")
    made.value("--id", metavar="ID", help="name the call, for records and logs")
    made.section("Later")
    made.flag("--async", help="only queue it, and print the id of the call for `wherry calls`")
    made.value("--callback", metavar="URL", help="with --async: where the answer is sent")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Call it, and return the exit code."""
    is_async = getattr(args, "async")
    if args.callback and not is_async:
        raise UsageError("--callback: only with --async; otherwise the answer comes to stdout")
    import asyncio

    from wherry.cli import invoking

    return asyncio.run(invoking.enqueue(args) if is_async else invoking.call(args))
