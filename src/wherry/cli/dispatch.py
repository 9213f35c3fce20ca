"""``wherry dispatch``: messages of a queue become containers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from wherry.triggers.amqp.options import DispatchOptions
    from wherry.triggers.amqp.outcome import Outcome

_TEXT = """\
Takes the messages of docker-dispatch from a RabbitMQ queue: {"Dockercmd": "run", "Image": …, \
"Cmd": […], "Options": {…}}, "stop" and "remove"; and {"Function": …, "Input": …}, which calls a \
function of --config.

A message is acknowledged when its outcome is known. The program's exit code decides: 0 is ack, \
75 is requeue (again after a delay, at most five times in all), everything else is reject. What \
is rejected ends in QUEUE.dead, with the reason in its headers. Results are printed, and sent to \
a message's reply_to.

SIGTERM takes no more messages and lets containers end; a second one ends them and hands their \
messages back."""


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "dispatch",
        summary="Run a container for each message of a RabbitMQ queue",
        text=_TEXT,
        examples=(
            "wherry dispatch local amqp://guest:guest@localhost/",
            "wherry dispatch -q jobs --policy jobs.toml docker: amqps://mq/prod",
        ),
        operands=(
            Operand("ENGINE", "local, any other engine, HOST:PORT or the path of Docker's socket"),
            Operand("AMQPADDR", "amqp:// or amqps://[USER:PASSWORD@]HOST[:PORT][/VHOST][?OPTIONS]"),
        ),
    )
    made.section("The queue")
    made.value("-q", "--queue", metavar="QUEUE", help="its name; docker-dispatch")
    made.flag("--passive", help="it is there; do not declare it")
    made.value("--queue-type", metavar="TYPE", help="classic or quorum, where it is declared")
    made.value("-P", "--concurrency", metavar="N", help="messages at one time; 4")
    made.value(
        "--ack-timeout",
        metavar="TIME",
        help="the broker's consumer_timeout; 30m. What runs for half of it is kept here instead",
    )
    made.section("Outcomes")
    made.values("--exit", metavar="CODE=FATE", help="such as 3,4=requeue: ack, requeue or reject")
    made.value("--exit-other", metavar="FATE", help="for all other codes; reject")
    made.value("--retry", metavar="TIMES", help="pauses before each further try; 1s,5s,30s,2m")
    made.value("--max-output", metavar="SIZE", help="that a result keeps of each stream; 1m")
    made.flag("--json", help="print a JSON object a line for each message")
    made.section("What messages may ask for")
    made.value("--policy", metavar="FILE", help="TOML: images, functions, containers, mounts, …")
    made.values("--config", metavar="FILE", help="wherry.toml with functions")
    made.value("--timeout", metavar="TIME", help="that a container may run; as long as it takes")
    made.value("--grace", metavar="TIME", help="that containers have to end at a stop; 30s")
    made.section("Where")
    made.value(
        "--data-dir", metavar="DIR", help="of the local engine and of the record of messages"
    )
    made.section("Log")
    made.flag("-v", "--verbose", help="say what goes on")
    return made


def main(args: argparse.Namespace) -> int:
    """Dispatch until a signal, and return the exit code."""
    import asyncio
    import logging
    from pathlib import Path

    from wherry.server import journal
    from wherry.server.containers import named_containers
    from wherry.server.dispatching import DispatchServer
    from wherry.triggers.amqp.outcome import exit_codes
    from wherry.units import parse_size

    data = _data(args)
    options = options_of(args, data)
    codes = exit_codes(args.exit, other=args.exit_other)
    spec = engine_spec(args.engine)
    journal.keep_journal(access=False)
    logging.getLogger("wherry").setLevel(logging.INFO if args.verbose else logging.WARNING)
    engine = _engine(spec, args)
    server = DispatchServer(
        options=options,
        engine=engine,
        say=_say_json if args.json else _say,
        named=named_containers(engine),
        files=tuple(Path(path) for path in args.config),
        state=data / "state",
        codes=codes,
        timeout=_seconds(args.timeout, None, name="--timeout"),
        max_output=1024 * 1024
        if args.max_output is None
        else parse_size(args.max_output, name="--max-output"),
    )
    asyncio.run(server.run())
    return 0


def options_of(args: argparse.Namespace, data: Path) -> DispatchOptions:
    """Return what the command line asks for; raises :class:`UsageError`."""
    from pathlib import Path

    from wherry.triggers.amqp.address import Address
    from wherry.triggers.amqp.options import QUEUE, DispatchOptions, check_queue
    from wherry.triggers.amqp.policy import Policy, read_policy

    address = Address.parse(args.amqpaddr, name="AMQPADDR")
    queue_type = args.queue_type or "classic"
    if queue_type not in ("classic", "quorum"):
        raise UsageError(f"--queue-type: {queue_type!r} must be classic or quorum")
    usual = DispatchOptions(url="", state=data)
    return DispatchOptions(
        url=address.url,
        broker=address.place,
        patience=address.patience,
        queue=check_queue(args.queue or QUEUE, field="--queue"),
        state=data / "dispatch",
        concurrency=_count(args.concurrency, usual.concurrency),
        passive=args.passive,
        queue_type="quorum" if queue_type == "quorum" else "classic",
        delays=_delays(args.retry, usual.delays),
        ack_timeout=_seconds(args.ack_timeout, usual.ack_timeout, name="--ack-timeout")
        or usual.ack_timeout,
        grace=_seconds(args.grace, usual.grace, name="--grace") or 0.0,
        policy=read_policy(Path(args.policy)) if args.policy else Policy(),
    )


def engine_spec(text: str) -> str:
    """Return an engine's name for what docker-dispatch takes as well."""
    from wherry.engines import SCHEMES

    if text.startswith("/"):
        return f"docker://{text}"
    if re.fullmatch(r"[^/]+:\d+", text) and text.partition(":")[0] not in SCHEMES:
        return f"docker+tcp://{text}"
    return text


def _engine(spec: str, args: argparse.Namespace) -> Any:  # noqa: ANN401 - of any kind
    import argparse

    from wherry.cli import engines

    local = spec.partition(":")[0] == engines.LOCAL
    data_dir = args.data_dir if local else None
    return engines.open_engine(argparse.Namespace(engine=spec, data_dir=data_dir), quiet=True)


def _data(args: argparse.Namespace) -> Path:
    from pathlib import Path

    from wherry import config

    return Path(args.data_dir).absolute() if args.data_dir else config.settings().data_dir


def _say(outcome: Outcome, document: Mapping[str, Any]) -> None:
    """Print a result as docker-dispatch does: the streams, or a line with the container's id."""
    del document
    text = (outcome.stdout + outcome.stderr).decode(errors="replace")
    if not outcome.streams and outcome.fate == "ack":
        text = f"{outcome.container}\n"
    if outcome.fate != "ack":
        text += "" if not text or text.endswith("\n") else "\n"
        text += f"error: {outcome.reason}\n"
    standard.emit(text)


def _say_json(outcome: Outcome, document: Mapping[str, Any]) -> None:
    import json

    del outcome
    standard.emit(json.dumps(document, ensure_ascii=False) + "\n")


def _delays(text: str | None, usual: tuple[float, ...]) -> tuple[float, ...]:
    from wherry.triggers.amqp.options import check_delays
    from wherry.units import parse_duration

    if text is None:
        return usual
    found = tuple(parse_duration(each, name="--retry") for each in text.split(",") if each)
    return check_delays(found, field="--retry")


def _seconds(text: str | None, usual: float | None, *, name: str) -> float | None:
    from wherry.units import parse_duration

    return usual if text is None else parse_duration(text, name=name)


def _count(text: str | None, usual: int) -> int:
    if text is None:
        return usual
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise UsageError(f"--concurrency: {text!r} must be a whole number from 1 to 65535")
    return int(text)
