"""What the commands about deployed functions share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli.gateway_client import segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wherry.cli.gateway_client import Gateway
    from wherry.cli.parsing import Parser

DEFAULT_NAMESPACE = "openfaas-fn"


def declare_namespace(parser: Parser) -> None:
    """Declare where a function is looked for."""
    parser.value("-n", "--namespace", metavar="NAMESPACE",
                 help=f"of the function; {DEFAULT_NAMESPACE} by default")  # fmt: skip


def url(gateway: Gateway, document: Mapping[str, Any], *, route: str = "function") -> str:
    """Return the address that a function is called at."""
    name = str(document.get("service") or document["name"])
    namespace = document.get("namespace") or DEFAULT_NAMESPACE
    whole = name if namespace == DEFAULT_NAMESPACE else f"{name}.{namespace}"
    return f"{gateway.address.text.rstrip('/')}/{route}/{segment(whole)}"


def path(name: str, *, namespace: str | None, route: str = "function") -> str:
    """Return the path of a function's calls."""
    return f"/{route}/{segment(f'{name}.{namespace}' if namespace else name)}"


def seconds_since(text: str) -> float:
    """Return how many seconds ago a time of RFC 3339 was."""
    from datetime import UTC, datetime

    then = datetime.fromisoformat(text)
    return (datetime.now(UTC) - then).total_seconds()
