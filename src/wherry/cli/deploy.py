"""``wherry deploy``: give a gateway a function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import deploy_options, functions, gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.gateway_client import Gateway

_PATIENCE = 10.0
"""Seconds: `wherry serve &` may have been the command before."""

_TEXT = """\
It can be called as soon as this returns, and its address is printed. A function of that name is \
replaced; calls of it that run end undisturbed.

With --file, the functions that a wherry.toml or an OpenFaaS stack.yaml declares; FUNCTION and \
ARGs then name some of them."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "deploy",
        summary="Give a gateway a function, or a new version of one",
        text=_TEXT,
        examples=(
            "wherry deploy upper --image busybox -- tr a-z A-Z",
            "wherry deploy resize --image my/magick --timeout 10s -m 256m --ready 4",
            "wherry deploy shout --pipe upper,leftpad",
            "wherry deploy -f stack.yaml",
        ),
        operands=(
            Operand("FUNCTION", "its name", optional=True),
            Operand("ARG", "its program's, in place of the image's own; after --", True, True),
        ),
    )
    made.value("-f", "--file", metavar="FILE", help="deploy what a file declares")
    made.flag("--update-only", help="fail when there is no function of that name")
    functions.declare_namespace(made)
    deploy_options.declare(made)
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Deploy it or them, print the addresses, and return the exit code."""
    import asyncio

    gateway = gateway_client.gateway_of(args, patience=_PATIENCE)
    documents = _of_file(args) if args.file else [deploy_options.document_of(args)]
    asyncio.run(_deploy(gateway, documents, method="PUT" if args.update_only else "POST"))
    return 0


async def _deploy(gateway: Gateway, documents: list[dict[str, Any]], *, method: str) -> None:
    for document in documents:
        try:
            await gateway.ask(method, "/system/functions", document=document)
        except UsageError as error:
            if len(documents) > 1:
                raise type(error)(f"{document['service']}: {error}") from error
            raise
        standard.emit(f"{functions.url(gateway, document)}\n")


def _of_file(args: argparse.Namespace) -> list[dict[str, Any]]:
    from pathlib import Path

    import msgspec

    from wherry.functions.files import read_declaration

    if options := deploy_options.given(args):
        raise UsageError(f"{options[0]}: with --file, the file says what functions are")
    declared = read_declaration(Path(args.file)).deployments
    wanted = [args.function, *args.arg] if args.function else []
    names = [deployment.service for deployment in declared]
    for name in wanted:
        if name not in names:
            from wherry.names import nearest

            raise UsageError(f"{args.file} declares no function {name!r}{nearest(name, names)}")
    chosen = [found for found in declared if not wanted or found.service in wanted]
    # What a pipe is made of has to be there before it.
    chosen.sort(key=lambda found: found.pipe is not None)
    documents = [msgspec.to_builtins(found) for found in chosen]
    return [{**found, "namespace": args.namespace} if args.namespace else found
            for found in documents]  # fmt: skip
