"""``wherry schedule add``: add a schedule, or change one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import gateway_client, standard
from wherry.cli.parsing import Operand, Parser
from wherry.cli.schedule import path
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

_TEXTS = ("timezone", "function", "image", "container", "service", "input", "user", "workdir",
          "network", "hostname", "pull", "overlap", "timeout", "backoff", "catch-up", "jitter",
          "ping", "save-folder", "webhook", "slack-webhook")  # fmt: skip
_KINDS = {"function": "function", "image": "run", "service": "service-run", "local": "local"}


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "schedule add",
        summary="Add a schedule, or change one",
        text="WHEN is five fields (minute, hour, day of the month, month, day of the week), six "
        "with the second first, @daily and the like, '@every 1h30m' or @reboot. Words after -- "
        "are the program's.",
        examples=(
            "wherry schedule add nightly '30 2 * * *' --function report",
            "wherry schedule add clean @daily --image busybox -v /srv:/srv:rw -- rm /srv/x",
            "wherry schedule add rotate @weekly --container web -- nginx -s reopen",
        ),
        operands=(
            Operand("NAME", "what it is called"),
            Operand("WHEN", "when it runs"),
            Operand("ARG", "of the program", optional=True, many=True),
        ),
    )
    made.section("When")
    made.value("--timezone", metavar="ZONE", help="as in Europe/Paris; UTC")
    made.value("--jitter", metavar="TIME", help="put off by chance, at most so long")
    made.value("--catch-up", metavar="TIME", help="how late a run may be after a downtime; 0")
    made.section("What")
    made.value("--function", metavar="FUNCTION", help="that is deployed")
    made.value("--image", metavar="IMAGE", help="called as by `wherry run`")
    made.value("--container", metavar="NAME", help="that runs, to run a program in it")
    made.flag("--start", help="start the container, which is stopped, once more")
    made.value("--service", metavar="NAME", help="of a Swarm, whose tasks are started anew")
    made.flag("--local", help="a program of the gateway's machine, where that is allowed")
    made.value("--input", metavar="TEXT", help="that it reads from stdin")
    made.values("-e", "--env", metavar="NAME=VALUE", help="variables; may be given several times")
    made.value("--user", metavar="USER", help="in place of the image's own")
    made.value("--workdir", metavar="DIR", help="that it starts in")
    made.value("--network", metavar="none|private|host", help="of an image; none")
    made.value("--hostname", metavar="NAME", help="of an image's container")
    made.value("--pull", metavar="missing|always|never", help="when its image is pulled")
    made.values("-v", "--volume", metavar="/HOST:/TARGET", help="read-only, unless :rw follows")
    made.section("How")
    made.value("--overlap", metavar="skip|allow|queue|replace",
               help="while the run before goes on; skip")  # fmt: skip
    made.value("--timeout", metavar="TIME", help="after which a try is killed")
    made.value("--retries", metavar="N", help="tries after the first; 0")
    made.value("--backoff", metavar="TIME", help="before the first retry, then twice that; 1s")
    made.section("Who is told")
    made.value("--ping", metavar="URL", help="fetched after each success")
    made.value("--webhook", metavar="URL", help="told of each run in JSON")
    made.value("--slack-webhook", metavar="URL", help="told of each run")
    made.value("--save-folder", metavar="DIR", help="of the gateway's machine, for the output")
    gateway_client.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Add it, print its name, and return the exit code."""
    gateway_client.ask(args, f"POST {path.ALL}", document=document_of(args))
    standard.emit(f"{args.name}\n")
    return 0


def document_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the gateway is sent; raises :class:`UsageError`."""
    document: dict[str, Any] = {"name": args.name, "schedule": args.when, "kind": _kind(args)}
    for option in _TEXTS:
        value = getattr(args, option.replace("-", "_"))
        if value is not None:
            first, *rest = option.split("-")
            document[first + "".join(word.capitalize() for word in rest)] = value
    if args.arg:
        document["command"] = args.arg
    if args.env:
        document["env"] = dict(_variable(each) for each in args.env)
    if args.volume:
        document["volumes"] = args.volume
    if args.retries is not None:
        if not (args.retries.isascii() and args.retries.isdigit()):
            raise UsageError(f"--retries: {args.retries!r} must be a whole number from 0")
        document["retries"] = int(args.retries)
    return document


def _kind(args: argparse.Namespace) -> str:
    given = [name for name in (*_KINDS, "container") if getattr(args, name)]
    if len(given) != 1:
        said = f"; {' and '.join(f'--{name}' for name in given)} came" if given else ""
        raise UsageError(
            "say what it runs: one of --function, --image, --container, --service and "
            f"--local{said}"
        )
    if args.start and given != ["container"]:
        raise UsageError("--start: there is no --container that it could be about")
    return _KINDS.get(given[0], "run" if args.start else "exec")


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--env: {name!r} has no value; write NAME=VALUE")
    return name, value
