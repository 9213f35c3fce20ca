"""``wherry ls``: the functions of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import functions, gateway_client, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "ls",
        summary="List the functions of a gateway",
        text="READY is how many containers are there, waiting or at work, of how many there "
        "should be.",
    )
    made.flag("-a", "--all-namespaces", help="those of every namespace")
    functions.declare_namespace(made)
    made.flag("-q", "--quiet", help="print names only")
    made.flag("--json", help="print a JSON array")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Print them, and return the exit code."""
    import asyncio

    found = asyncio.run(_functions(args))
    if args.json:
        printing.show_json(found)
    elif args.quiet:
        standard.emit("".join(f"{_name(function, args)}\n" for function in found))
    else:
        heads = ["NAME", "IMAGE", "CALLS", "READY", "AGE"]
        printing.show_table(heads, [_row(function, args) for function in found])
    return 0


async def _functions(args: argparse.Namespace) -> list[dict[str, Any]]:
    gateway = gateway_client.gateway_of(args)
    namespaces = [args.namespace]
    if args.all_namespaces:
        namespaces = await gateway.ask("GET", "/system/namespaces")
    found: list[dict[str, Any]] = []
    for namespace in namespaces:
        found += await gateway.ask("GET", "/system/functions", query={"namespace": namespace})
    return sorted(found, key=lambda function: (function["namespace"], function["name"]))


def _row(function: dict[str, Any], args: argparse.Namespace) -> list[str]:
    ready = f"{function.get('availableReplicas', 0)}/{function.get('replicas', 0)}"
    return [
        _name(function, args),
        function.get("image") or f"pipe: {','.join(function.get('pipe', []))}",
        str(int(function.get("invocationCount", 0))),
        ready,
        printing.age(functions.seconds_since(function["createdAt"])),
    ]


def _name(function: dict[str, Any], args: argparse.Namespace) -> str:
    if args.all_namespaces and function["namespace"] != functions.DEFAULT_NAMESPACE:
        return f"{function['name']}.{function['namespace']}"
    return str(function["name"])
