"""The options of ``wherry deploy``, and the document that they come to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from wherry.errors import UsageError
from wherry.functions.settings import LABELS, PREFIX

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgt])(?:i?b)?", re.IGNORECASE)
_FLAGS = ("stream", "auth")
_METAVARS = {
    "timeout": "TIME", "queue_wait": "TIME", "max_body": "SIZE", "ready": "[LEVEL:]N",
    "retry_codes": "N,N…", "mode": "stdio|cgi|http", "health": "PATH", "path": "PATH",
    "network": "none|private|host", "user": "USER[:GROUP]", "workdir": "PATH", "tmp": "SIZE",
    "max_stdout": "SIZE", "stop_signal": "SIGNAL", "pull": "missing|always|never",
    "platform": "OS/ARCH",
}  # fmt: skip
_LISTS = ("env", "env_file", "secret", "label", "annotation")


def declare(parser: Parser) -> None:
    """Declare everything that may be said about a function."""
    parser.section("Program")
    parser.value("--image", metavar="IMAGE", help="as for `wherry run`")
    parser.value("--process", metavar="LINE",
                 help="the whole program in one line, whatever the image's entrypoint")  # fmt: skip
    parser.value("--pipe", metavar="NAME,NAME…",
                 help="functions to chain in place of an image: stdout to stdin")  # fmt: skip
    parser.values("-e", "--env", metavar="NAME[=VALUE]",
                  help="set a variable; without a value, hand on our own")  # fmt: skip
    parser.values("--env-file", metavar="FILE", help="read variables from lines NAME=VALUE")
    parser.values("--secret", metavar="SECRET",
                  help="one of the gateway's, as a file in /run/secrets")  # fmt: skip
    parser.section("Limits")
    parser.value("-m", "--memory", metavar="SIZE", help="bytes, or as in 512m or 512Mi")
    parser.value("--cpus", metavar="NUMBER", help="cores, as in 1.5")
    parser.flag("--read-only", help="the image's file system cannot be written")
    parser.section("Calls")
    for label in LABELS.values():
        _declare_label(parser, label.name, label.meaning)
    parser.section("Labels")
    parser.values("-l", "--label", metavar="NAME[=VALUE]", help="add a label")
    parser.values("--annotation", metavar="NAME[=VALUE]", help="add an annotation")


def document_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the document that the options describe; raises :class:`UsageError`."""
    if args.function is None:
        raise UsageError("FUNCTION is missing; say what it is called, or give --file")
    if bool(args.image) == bool(args.pipe):
        raise UsageError("give --image IMAGE, or --pipe NAME,NAME… for functions one after another")
    limits = {"memory": _quantity(args.memory), "cpu": args.cpus}
    found = {
        "service": args.function,
        "namespace": args.namespace,
        "image": args.image,
        "envProcess": args.process,
        "command": args.arg,
        "pipe": args.pipe and [name.strip() for name in args.pipe.split(",")],
        "envVars": _variables(args),
        "secrets": args.secret,
        "labels": _labels(args),
        "annotations": dict(_pair(text) for text in args.annotation),
        "limits": {name: value for name, value in limits.items() if value},
        "readOnlyRootFilesystem": args.read_only,
    }
    return {name: value for name, value in found.items() if value}


def given(args: argparse.Namespace) -> list[str]:
    """Return the options about a function that were given, for those who cannot use them."""
    names = ("image", "process", "pipe", "memory", "cpus", "read_only", *_LISTS,
             *(label.name for label in LABELS.values()))  # fmt: skip
    return [f"--{name.replace('_', '-')}" for name in names if getattr(args, name)]


def _declare_label(parser: Parser, name: str, meaning: str) -> None:
    option = f"--{name.replace('_', '-')}"
    text = meaning.replace("`", "")
    if name in _FLAGS:
        parser.flag(option, help=text)
    else:
        parser.value(option, metavar=_METAVARS.get(name, "NUMBER"), help=text)


def _labels(args: argparse.Namespace) -> dict[str, str]:
    found = dict(_pair(text) for text in args.label)
    for name, label in LABELS.items():
        value = getattr(args, label.name)
        if value in (None, False):
            continue
        if name in found:
            raise UsageError(f"--label {name}: it is --{name.removeprefix(PREFIX)} too; give one")
        found[name] = "true" if value is True else value
    return found


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name:
        raise UsageError(f"--label: {text!r} must be NAME=VALUE")
    return name, value


def _variables(args: argparse.Namespace) -> dict[str, str]:
    from wherry.options.environment import variables

    return dict(variables(args.env, files=args.env_file))


def _quantity(text: str | None) -> str | None:
    """Return a size as Kubernetes writes it, in which ``m`` alone would be a thousandth."""
    if text and (match := _SIZE.fullmatch(text)):
        return f"{match[1]}{match[2].upper()}i"
    return text
