"""Reading the value of a secret, and sending it."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from wherry.cli import functions, gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

_MOST = 1 << 20
_SEEN = "a value among the arguments is seen by every user; give a file, or stdin"


def parser_for(name: str, *, summary: str) -> Parser:
    """Return the options and operands of a command that takes a value."""
    made = Parser(
        f"secret {name}",
        summary=summary,
        text="The value is what FILE or stdin holds, byte for byte: mind the newline at its end.",
        examples=(f"printf %s \"$KEY\" | wherry secret {name} api-key",
                  f"wherry secret {name} tls --file key.pem"),
        operands=(Operand("SECRET", "its name"),),
    )  # fmt: skip
    made.value("-f", "--file", metavar="FILE", help="holds the value; stdin when it is left out")
    functions.declare_namespace(made)
    gateway_client.declare(made)
    made.refuse({"--value": _SEEN, "--from-literal": _SEEN, "--literal": _SEEN})
    return made


def send(args: argparse.Namespace, *, method: str) -> int:
    """Send a secret, and return the exit code."""
    document = {"name": args.secret, "rawValue": base64.b64encode(_value(args)).decode()}
    if args.namespace:
        document["namespace"] = args.namespace
    gateway_client.ask(args, f"{method} /system/secrets", document=document)
    return 0


def _value(args: argparse.Namespace) -> bytes:
    if args.file:
        with open(args.file, "rb") as file:  # noqa: PTH123
            data = file.read(_MOST + 1)
    elif os.isatty(standard.STDIN):
        raise UsageError("stdin is a terminal; give the value there by a pipe, or with --file")
    else:
        with os.fdopen(standard.STDIN, "rb", closefd=False) as stdin:
            data = stdin.read(_MOST + 1)
    if len(data) > _MOST:
        raise UsageError(f"a secret has at most {_MOST} bytes")
    return data
