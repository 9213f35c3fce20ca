"""The options of a call, with docker's names where docker has one, as the library's options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser
    from wherry.models import Function
    from wherry.options import Options

REFUSED = {
    "-t": "a terminal inside the container is not supported yet; leave it out: stdin, stdout "
    "and stderr are streamed as they are",
    "-d": "a call does not outlive its command; let your shell run it in the background "
    "(`wherry run … &`), or systemd (`systemd-run wherry run …`)",
    "-p": "a function has no ports: it reads stdin and writes stdout; `--network host` shares "
    "this machine's network",
    "--privileged": "not supported: a function never has more rights than its caller",
    "--restart": "not supported: a call ends once; call it again",
}
REFUSED |= {
    "--tty": REFUSED["-t"],
    "--detach": REFUSED["-d"],
    "-P": REFUSED["-p"],
    "--publish": REFUSED["-p"],
    "--publish-all": REFUSED["-p"],
}

_SAME = ("name", "user", "workdir", "hostname", "network", "memory", "timeout", "stop_signal",
         "stdout_limit", "pull", "platform", "entrypoint")  # fmt: skip
"""Options that are passed on as the text they are."""


def declare(parser: Parser) -> None:
    """Declare everything that may be said about a call."""
    parser.section("Program")
    parser.values("-e", "--env", metavar="NAME[=VALUE]",
                  help="set a variable; without a value, hand on our own")  # fmt: skip
    parser.values("--env-file", metavar="FILE", help="read variables from lines NAME=VALUE")
    parser.value("--entrypoint", metavar="PROGRAM", help='replace the image\'s; "" clears it')
    parser.value("-w", "--workdir", metavar="PATH", help="the directory it starts in")
    parser.value("-u", "--user", metavar="USER[:GROUP]", help="names or numbers of the image")
    parser.value(
        "--stop-signal", metavar="SIGNAL", help="what SIGTERM is turned into on its way inside"
    )
    _declare_files(parser)
    _declare_limits(parser)
    parser.section("Container")
    parser.value("--name", metavar="NAME", help="what it is called in `wherry ps`")
    parser.value("--hostname", metavar="NAME", help="its host name")
    parser.values("-l", "--label", metavar="NAME[=VALUE]", help="add a label")
    parser.value("--network", metavar="none|private|host",
                 help="none (default), only the way out, or this machine's own")  # fmt: skip
    parser.value("--docker-api", metavar="LIMITS",
                 help="give it a Docker socket for children of its own: "
                 "children:20,memory:2g,image:busybox")  # fmt: skip
    parser.value("--platform", metavar="OS/ARCH", help="of the image, such as linux/arm64")
    parser.value("--pull", metavar="missing|always|never", help="when to fetch the image")
    parser.flag("--rm", help="as always: nothing is left of a call")
    parser.refuse(REFUSED)


def _declare_files(parser: Parser) -> None:
    parser.section("Files")
    parser.values("-v", "--volume", metavar="SOURCE:TARGET[:rw]",
                  help="mount a file or directory, read-only unless it says :rw")  # fmt: skip
    parser.values("--mount", metavar="type=bind|tmpfs,…",
                  help="the same in docker's long form")  # fmt: skip
    parser.values("--tmpfs", metavar="TARGET[:size=SIZE]", help="mount an empty file system")
    parser.values("--secret", metavar="NAME=FILE",
                  help="put a file where only the program reads it: /run/secrets/NAME")  # fmt: skip
    parser.values("--file", metavar="SOURCE:TARGET", help="copy a file in before it starts")
    parser.values("--collect", metavar="PATH:DIR",
                  help="copy a file or directory out after it has ended")  # fmt: skip
    parser.flag("--read-only", help="the image's file system cannot be written")


def _declare_limits(parser: Parser) -> None:
    parser.section("Limits")
    parser.value("-m", "--memory", metavar="SIZE", help="bytes, or as in 512m")
    parser.value("--cpus", metavar="NUMBER", help="cores, as in 1.5")
    parser.value("--pids-limit", metavar="NUMBER", help="processes and threads at one time")
    parser.value("--timeout", metavar="TIME", help="seconds, or as in 1m30s; then exit code 124")
    parser.value("--tmp-size", metavar="SIZE", help="what it may write, mounts aside")
    parser.value("--stdout-limit", metavar="SIZE", help="what it may say, and no more")


def function_of(args: argparse.Namespace) -> Function:
    """Return the function that the options, IMAGE and the ARGs describe."""
    from wherry.options import build_function

    return build_function(args.image, args.arg, options=options_of(args))


def options_of(args: argparse.Namespace) -> Options:
    """Return the options that were given; raises :class:`UsageError`."""
    found: dict[str, Any] = {
        name: text for name in _SAME if (text := getattr(args, name)) is not None
    }
    lists = {
        "env": args.env,
        "env_file": args.env_file,
        "labels": args.label,
        "mounts": [*args.volume, *args.mount],
        "tmpfs": args.tmpfs,
        "secrets": dict(_secret(text) for text in args.secret),
        "files": dict(_file(text) for text in args.file),
        "collect": dict(_collect(text) for text in args.collect),
    }
    found |= {name: value for name, value in lists.items() if value}
    if args.docker_api is not None:
        found["labels"] = [*args.label, f"wherry.docker-api={args.docker_api}"]
    if args.read_only:
        found["read_only"] = True
    if args.tmp_size is not None:
        found["tmp"] = args.tmp_size
    if args.pids_limit is not None:
        found["pids"] = whole(args.pids_limit, option="--pids-limit")
    if args.cpus is not None:
        found["cpus"] = _number(args.cpus, option="--cpus")
    return cast("Options", found)


def whole(text: str, *, option: str) -> int:
    """Return a whole number from 1; raises :class:`UsageError`."""
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise UsageError(f"{option}: {text!r} must be a whole number from 1")


def _number(text: str, *, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{option}: {text!r} must be a number, such as 1.5") from None


def _secret(text: str) -> tuple[str, str]:
    """Read ``NAME=FILE``, or docker's ``id=NAME,src=FILE``."""
    fields = dict(part.partition("=")[::2] for part in text.split(","))
    source = fields.get("src") or fields.get("source")
    if "id" in fields and source:
        return fields["id"], source
    name, equals, path = text.partition("=")
    if not (name and equals and path) or name == "id":
        raise UsageError(f"--secret: {text!r} must be NAME=FILE, or id=NAME,src=FILE")
    return name, path


def _file(text: str) -> tuple[str, str]:
    source, colon, target = text.rpartition(":/")
    if not source or not colon:
        raise UsageError(f"--file: {text!r} must be SOURCE:TARGET, TARGET an absolute path")
    return f"/{target}", source


def _collect(text: str) -> tuple[str, str]:
    path, _, directory = text.partition(":")
    if not path.startswith("/") or not directory:
        raise UsageError(f"--collect: {text!r} must be PATH:DIR, PATH an absolute path inside")
    return path, directory
