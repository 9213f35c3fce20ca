"""The ``[dispatch.NAME]`` tables of ``wherry.toml``: queues whose messages are dispatched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from wherry.errors import UsageError
from wherry.functions import shapes
from wherry.functions.files import is_stack, read_tables
from wherry.triggers.amqp.address import Address
from wherry.triggers.amqp.options import DispatchOptions, QueueType, check_delays, check_queue
from wherry.triggers.amqp.outcome import ExitCodes, exit_codes
from wherry.triggers.amqp.policy import Policy, policy_of
from wherry.units import parse_duration, parse_size

if TYPE_CHECKING:
    from wherry.server.options import ServeOptions

KEYS: Mapping[str, str] = {
    "url": "`amqp://` or `amqps://[USER@]HOST[:PORT][/VHOST][?OPTIONS]`; required",
    "password_file": "file with the password of the user in `url`, so that none stands here",
    "queue": "the queue's name; the table's by default",
    "passive": "whether the queue is there already, and not to be declared",
    "queue_type": "`classic` or `quorum`, where it is declared; classic",
    "concurrency": "messages at one time; 4",
    "ack_timeout": "the broker's `consumer_timeout`; 30m",
    "exit": 'table of exit codes to `ack`, `requeue` or `reject`; `0 = "ack", 75 = "requeue"`',
    "exit_other": "the same for all other codes; reject",
    "retry": 'list of pauses before each further try; `["1s", "5s", "30s", "2m"]`',
    "timeout": "that a container of an image may run; as long as it takes",
    "max_output": "that a result keeps of each stream; 1m",
    "policy": "table: what messages may ask for",
}
"""All keys of a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchTable:
    """One queue, as it is declared."""

    name: str
    options: DispatchOptions
    shown: str
    """The broker, for people."""
    codes: ExitCodes
    timeout: float | None
    max_output: int


def tables_of(options: ServeOptions) -> tuple[DispatchTable, ...]:
    """Read the tables of a server's files.

    Raises :class:`UsageError` that names file, field and value, and what would be right.
    """
    found: dict[str, DispatchTable] = {}
    for path in options.files:
        given = {} if is_stack(path) else read_tables(path).get("dispatch", {})
        try:
            for name, value in _tables(given).items():
                if name in found:
                    raise UsageError(f"dispatch.{name}: another file has it, too")
                found[name] = _Reading(value, name=name, folder=path.parent).table(options)
            _check_apart(list(found.values()))
        except UsageError as error:
            raise UsageError(f"{path}: {error}") from error
    return tuple(found.values())


def _tables(given: object) -> dict[str, dict[str, Any]]:
    tables = shapes.table(given, "dispatch")
    for name, value in tables.items():
        if not isinstance(value, dict):
            raise UsageError(
                f"dispatch.{name}: {value!r} must be in a table with a name, as [dispatch.jobs]"
            )
        if not name or "/" in name or name.startswith("."):
            raise UsageError(f"dispatch.{name}: it must be a name without '/', such as jobs")
    return tables


def _check_apart(tables: Sequence[DispatchTable]) -> None:
    seen: dict[str, str] = {}
    for each in tables:
        place = each.options.place
        if place in seen:
            raise UsageError(
                f"dispatch.{each.name}.queue: dispatch.{seen[place]} has queue "
                f"{each.options.queue!r} of {each.shown} already"
            )
        seen[place] = each.name


class _Reading:
    """One table while it is read."""

    def __init__(self, given: Mapping[str, Any], *, name: str, folder: Path) -> None:
        self._given = given
        self._name = name
        self._folder = folder

    def table(self, server: ServeOptions) -> DispatchTable:
        shapes.check_keys(self._given, KEYS, field=f"dispatch.{self._name}")
        address = self._address()
        usual = DispatchOptions(url="", state=server.state)
        options = DispatchOptions(
            url=address.url,
            asked=self._field("url"),
            broker=address.place,
            patience=address.patience,
            queue=check_queue(self._text("queue") or self._name, field=self._field("queue")),
            state=server.state / "dispatch",
            concurrency=self._concurrency(usual.concurrency),
            passive=self._truth("passive"),
            queue_type=self._queue_type(),
            delays=self._delays(usual.delays),
            ack_timeout=self._seconds("ack_timeout") or usual.ack_timeout,
            grace=server.grace,
            policy=self._policy(),
        )
        return DispatchTable(
            name=self._name,
            options=options,
            shown=address.shown,
            codes=self._codes(),
            timeout=self._seconds("timeout"),
            max_output=self._size("max_output", 1024 * 1024),
        )

    def _field(self, key: str) -> str:
        return f"dispatch.{self._name}.{key}"

    def _text(self, key: str) -> str:
        return shapes.text(self._given.get(key), self._field(key))

    def _address(self) -> Address:
        if not (url := self._text("url")):
            raise UsageError(f"{self._field('url')}: it is missing; such as amqp://mq.example/")
        return Address.parse(
            url, name=self._field("url"), password=self._password(), folder=self._folder
        )

    def _password(self) -> str | None:
        if not (name := self._text("password_file")):
            return None
        field = self._field("password_file")
        try:
            text = (self._folder / name).read_text()
        except OSError as error:
            raise UsageError(f"{field}: {name!r} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"{field}: {name!r} is no text") from error
        if not (password := text.rstrip("\r\n")):
            raise UsageError(f"{field}: {name!r} is empty")
        return password

    def _truth(self, key: str) -> bool:
        value = self._given.get(key, False)
        if not isinstance(value, bool):
            raise UsageError(f"{self._field(key)}: {value!r} must be true or false")
        return value

    def _queue_type(self) -> QueueType:
        text = self._text("queue_type") or "classic"
        if text not in get_args(QueueType):
            raise UsageError(f"{self._field('queue_type')}: {text!r} must be classic or quorum")
        return cast("QueueType", text)

    def _concurrency(self, usual: int) -> int:
        value = self._given.get("concurrency", usual)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
            field = self._field("concurrency")
            raise UsageError(f"{field}: {value!r} must be a whole number from 1 to 65535")
        return value

    def _seconds(self, key: str) -> float | None:
        value = self._given.get(key)
        if value is None:
            return None
        seconds = parse_duration(shapes.plain(value, self._field(key)), name=self._field(key))
        if seconds <= 0:
            raise UsageError(f"{self._field(key)}: {value!r} leaves no time")
        return seconds

    def _size(self, key: str, usual: int) -> int:
        value = self._given.get(key)
        if value is None:
            return usual
        return parse_size(shapes.plain(value, self._field(key)), name=self._field(key))

    def _delays(self, usual: tuple[float, ...]) -> tuple[float, ...]:
        value = self._given.get("retry")
        if value is None:
            return usual
        field = self._field("retry")
        if not isinstance(value, list):
            raise UsageError(f'{field}: {value!r} must be a list of times, such as ["1s", "1m"]')
        found = tuple(parse_duration(shapes.plain(each, field), name=field) for each in value)
        return check_delays(found, field=field)

    def _codes(self) -> ExitCodes:
        field = self._field("exit")
        given = shapes.table(self._given.get("exit"), field)
        words = [f"{codes}={shapes.text(fate, field)}" for codes, fate in given.items()]
        try:
            return exit_codes(words, other=self._text("exit_other") or None)
        except UsageError as error:
            said = str(error).replace("--exit-other", self._field("exit_other"))
            raise UsageError(said.replace("--exit", field)) from error

    def _policy(self) -> Policy:
        field = self._field("policy")
        return policy_of(shapes.table(self._given.get("policy"), field), where=field)
