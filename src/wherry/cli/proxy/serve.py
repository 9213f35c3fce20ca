"""``wherry proxy --tenant NAME --socket PATH``: one tenant on one socket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.parsing import Parser
from wherry.cli.proxy import place
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.server.scoping import TlsFiles

_TEXT = """\
Docker clients speak to the socket as to an engine. What they make is the tenant's, stays when \
the proxy stops, and is the tenant's again when it starts; --ttl, --remove and \
`wherry proxy end NAME` take it down.

Whoever can open the socket is the tenant: put it into a directory of its own, and mount the \
directory into a container, not the socket."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "proxy serve",
        summary="Serve one tenant on a socket; what `wherry proxy` alone does",
        text=_TEXT,
        examples=(
            "wherry proxy --tenant ci --socket /run/ci/docker.sock --limit memory:4g",
            "wherry proxy --tenant ci --socket ci.sock --policy ci.toml --ttl 8h --remove",
        ),
    )
    made.section("Tenant")
    made.value("--tenant", metavar="NAME", help="whose socket it is")
    made.value("--socket", metavar="PATH", help="of the unix socket")
    made.value("--socket-mode", metavar="MODE", help="who may open it, in octal; 660")
    made.flag("--remove", help="remove everything of the tenant when the proxy stops")
    made.section("TLS, with certificates of clients")
    made.value("--tls", metavar="HOST:PORT", help="serve there as well")
    made.value("--tls-ca", metavar="FILE", help="whoever has a certificate by it is the tenant")
    made.value("--tls-cert", metavar="FILE", help="the server's certificate")
    made.value("--tls-key", metavar="FILE", help="and its key")
    place.declare_policy(made)
    place.declare(made)
    made.section("Log")
    made.value("--audit", metavar="FILE", help="JSON lines: who asked for what, and the verdict")
    made.value("--cgroup", metavar="PATH", help="control group above the tenant's; wherry-proxy/…")
    return made


def main(args: argparse.Namespace) -> int:
    """Serve until a signal, and return the exit code."""
    import asyncio

    from wherry.proxy.proxy import ProxyOptions
    from wherry.server import journal
    from wherry.server.scoping import ServedTenant, serve_tenant

    if not args.tenant:
        raise UsageError("--tenant is missing: whose socket is it?\nSee `wherry proxy --help`.")
    if not args.socket and not args.tls:
        raise UsageError("--socket is missing, and --tls too: where shall it be served?")
    directory = place.places(args).of(args.tenant)
    options = ProxyOptions(
        address=place.address(args),
        directory=directory,
        sockets=directory / "s",
        audit=Path(args.audit).absolute() if args.audit else None,
        cgroup_base=args.cgroup or "",
    )
    served = ServedTenant(
        name=args.tenant,
        policy=place.policy_text(args),
        ttl=place.ttl(args),
        socket=Path(args.socket).absolute() if args.socket else None,
        mode=_mode(args.socket_mode),
        tls=_tls(args),
        remove=args.remove,
    )
    journal.keep_journal(access=False)
    asyncio.run(serve_tenant(options, served, greet=standard.say))
    return 0


def _mode(text: str | None) -> int:
    if text is None:
        return 0o660
    if not text.isascii() or not text.isdigit() or any(digit > "7" for digit in text):
        raise UsageError(f"--socket-mode: {text!r} must be octal, such as 660")
    return int(text, 8) & 0o777


def _tls(args: argparse.Namespace) -> TlsFiles | None:
    from wherry.server.scoping import TlsFiles

    names = ("tls_ca", "tls_cert", "tls_key")
    given = {name: getattr(args, name) for name in names}
    if args.tls is None:
        if any(given.values()):
            raise UsageError("--tls is missing: where shall it be served?")
        return None
    for name, value in given.items():
        if not value:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{option} is missing: --tls needs certificates on both sides")
    host, colon, port = args.tls.rpartition(":")
    if not colon or not port.isdigit() or not 0 <= int(port) <= 65535:
        raise UsageError(f"--tls: {args.tls!r} must be HOST:PORT")
    return TlsFiles(
        host=host.strip("[]"), port=int(port), ca=Path(args.tls_ca), cert=Path(args.tls_cert),
        key=Path(args.tls_key),
    )  # fmt: skip
