"""``wherry describe``: all that a gateway knows of a function."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from wherry.cli import functions, gateway_client, printing, standard
from wherry.cli.gateway_client import segment
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "describe",
        summary="Show all that a gateway knows of a function",
        operands=(Operand("FUNCTION", "its name"),),
    )
    functions.declare_namespace(made)
    made.flag("--json", help="print a JSON object")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    gateway = gateway_client.gateway_of(args)
    found = gateway_client.ask(
        args,
        f"GET /system/function/{segment(args.function)}",
        query={"namespace": args.namespace, "usage": "1"},
    )
    if args.json:
        printing.show_json(found)
        return 0
    rows = [*_rows(found), ["URL", functions.url(gateway, found)],
            ["Async URL", functions.url(gateway, found, route="async-function")]]  # fmt: skip
    standard.emit(printing.table(rows))
    return 0


def _rows(found: dict[str, Any]) -> Iterator[list[str]]:
    yield ["Name", found["name"]]
    yield ["Namespace", found["namespace"]]
    if found.get("pipe"):
        yield ["Pipe", " | ".join(found["pipe"])]
    else:
        yield ["Image", found.get("image", "")]
        yield ["Ready", f"{found.get('availableReplicas', 0)} of {found.get('replicas', 0)}"]
    if found.get("command"):
        yield ["Command", shlex.join(found["command"])]
    if found.get("envProcess"):
        yield ["Process", found["envProcess"]]
    yield ["Calls", str(int(found.get("invocationCount", 0)))]
    yield ["Deployed", found["createdAt"]]
    for heading, key in (("Limits", "limits"), ("Environment", "envVars"), ("Labels", "labels"),
                         ("Annotations", "annotations")):  # fmt: skip
        for name, value in sorted((found.get(key) or {}).items()):
            yield [heading, f"{name}={value}"]
    for secret in found.get("secrets") or []:
        yield ["Secret", secret]
    if found.get("readOnlyRootFilesystem"):
        yield ["Read-only", "yes"]
    yield from _usage(found.get("usage") or {})


def _usage(usage: dict[str, Any]) -> Iterator[list[str]]:
    from wherry.units import format_size

    if usage.get("totalMemoryBytes"):
        yield ["Memory now", format_size(int(usage["totalMemoryBytes"]))]
        yield ["CPU now", f"{usage.get('cpu', 0) / 1000:.2f} cores"]
