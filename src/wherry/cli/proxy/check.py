"""``wherry proxy check``: what a policy makes of requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "proxy check",
        summary="Say what a policy makes of requests, and by which rule",
        text="No engine is asked: what a request names must be the tenant's own besides. The exit "
        "code is 0 when all requests are allowed, 1 when one is not.",
        examples=(
            'wherry proxy check - \'POST /containers/create {"Image": "busybox"}\'',
            "wherry proxy check jobs.toml 'GET /info' 'POST /swarm/init'",
        ),
        operands=(
            Operand("POLICY", "a TOML file; - is the default policy"),
            Operand("REQUEST", "METHOD PATH, and a JSON body behind it", False, True),
        ),
    )
    made.flag("--json", help="print a JSON object a line for each request")
    return made


def main(args: argparse.Namespace) -> int:
    """Print the verdicts, and return the exit code."""
    from wherry.proxy.policy.check import dump, explain
    from wherry.proxy.policy.toml import parse_policy

    try:
        text = "" if args.policy == "-" else Path(args.policy).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"POLICY: {args.policy!r} cannot be read: {error}") from error
    if not args.request:
        raise UsageError("REQUEST is missing: such as 'GET /v1.41/containers/json'")
    found = explain(parse_policy(text, name=args.policy), args.request)
    for explanation in found:
        if args.json:
            standard.emit(dump(explanation).decode() + "\n")
        else:
            standard.emit(f"{explanation.request}\n  {explanation.text}\n")
    return 0 if all(explanation.allowed for explanation in found) else 1
