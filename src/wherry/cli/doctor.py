"""``wherry doctor``: what this machine can do, and how to get the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import ending, engines, printing, standard
from wherry.cli.parsing import Parser

if TYPE_CHECKING:
    import argparse

    from wherry.engines.local.doctor import Check

_DOCKER_SOCKET = "/var/run/docker.sock"
_PATIENCE = 2.0


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "doctor",
        summary="Say what this machine can do, and how to get the rest",
        text="One line for each capability: `ok`, `missing` for what calls can do without, and "
        "`broken` for what keeps them from running; the exit code is then 125.",
    )
    made.flag("--json", help="print a JSON array")
    engines.declare_data_dir(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Try everything, print it, and return the exit code."""
    import asyncio
    import dataclasses

    from wherry.engines.local import doctor

    checks = asyncio.run(doctor.examine(engines.open_local(args)))
    checks.append(_docker())
    if args.json:
        printing.show_json([dataclasses.asdict(check) for check in checks])
    else:
        rows = [[check.state, check.name, _said(check)] for check in checks]
        standard.emit(printing.table(rows))
    broken = any(check.state == "broken" for check in checks)
    return ending.OUR_FAILURE if broken else 0


def _said(check: Check) -> str:
    return f"{check.found}: {check.advice}" if check.advice else check.found


def _docker() -> Check:
    """Ask a Docker engine whether it is there; the local engine does not need one."""
    import socket

    from wherry import config
    from wherry.engines.local.doctor import Check

    host = config.settings().docker_host or f"unix://{_DOCKER_SOCKET}"
    kind, _, path = host.partition("://")
    if kind != "unix":
        found = f"DOCKER_HOST is {host}, which was not tried"
        return Check(name="docker engine", state="missing", found=found)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PATIENCE)
            connection.connect(path)
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            answer = connection.recv(4096)
    except OSError as error:
        found = f"none answers at {path} ({error.strerror or error}); not needed"
        return Check(name="docker engine", state="missing", found=found)
    if b" 200 " not in answer.split(b"\r\n")[0]:
        found = f"{path} is something else, or refuses us"
        return Check(name="docker engine", state="missing", found=found)
    return Check(name="docker engine", state="ok", found=path)
