"""When a schedule runs, as people write it: ``30 2 * * *``, ``@every 1h30m``, ``@reboot``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from wherry.errors import UsageError
from wherry.names import nearest
from wherry.triggers.cron.calendars import Calendar
from wherry.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD = "schedule"
_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_NAMES = (*_ALIASES, "@every", "@reboot")
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S*)\s*(.*)", re.DOTALL)
_FIELDS = ("second", "minute", "hour", "day of the month", "month", "day of the week")
_ANY = ("0", "0", "0", "1", "1", "*")
"""A field by itself is tried among these."""
_SHORTEST = 1.0
"""Seconds between two runs of ``@every``."""


class When(Protocol):
    """The moments at which a schedule runs. Times are Unix seconds."""

    def after(self, moment: float) -> float | None:
        """Return the first tick later than ``moment``; None: there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Every:
    """Ticks at a fixed distance, counted from ``anchor``."""

    period: float
    """Seconds."""
    anchor: float = 0.0

    def after(self, moment: float) -> float:
        """See :class:`When`."""
        count = max(1, int((moment - self.anchor) // self.period) + 1)
        tick = self.anchor + count * self.period
        return tick if tick > moment else tick + self.period


@dataclass(frozen=True, slots=True)
class Reboot:
    """One run whenever the scheduler starts."""

    def after(self, moment: float) -> None:
        """See :class:`When`: time alone never makes it run."""


def parse_when(text: str, *, timezone: str | None = None, anchor: float = 0.0) -> When:
    """Read a schedule; ``timezone`` is an IANA name, UTC by default.

    Five fields (minute, hour, day of the month, month, day of the week), six with the second
    first, an alias, ``@every DURATION`` (counted from ``anchor``) or ``@reboot``; before them
    ``CRON_TZ=ZONE`` may stand. Raises :class:`UsageError` that names the field.
    """
    rest, zone = _zone_of(text.strip(), timezone=timezone)
    word, _, duration = rest.partition(" ")
    match word.lower():
        case "@reboot" if not duration.strip():
            return Reboot()
        case "@every":
            return Every(_period(duration.strip()), anchor)
        case alias if alias.startswith("@"):
            if alias not in _ALIASES or duration.strip():
                raise UsageError(f"{FIELD}: there is no {rest!r}{nearest(alias, _NAMES)}")
            rest = _ALIASES[alias]
    calendar = Calendar(_expression(rest), zone)
    if calendar.after(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) is None:
        raise UsageError(f"{FIELD}: {text!r} never comes: no month has such a day")
    return calendar


def preview(when: When, *, after: float, count: int) -> list[float]:
    """Return the next ticks, fewer when there are no more."""
    return list(islice(_ticks(when, after), count))


def _ticks(when: When, moment: float) -> Iterator[float]:
    while (tick := when.after(moment)) is not None:
        yield tick
        moment = tick


def _zone_of(text: str, *, timezone: str | None) -> tuple[str, tzinfo]:
    match = _ZONE.fullmatch(text)
    if match and timezone and match[1] != timezone:
        raise UsageError(f"timezone: {timezone!r} is not {match[1]!r}, which {FIELD} names")
    name = match[1] if match else timezone or "UTC"
    try:  # UTC needs no file of zones, which small images do not have
        zone = UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(
            f"timezone: there is no {name!r}; write an IANA name such as Europe/Paris"
        ) from None
    return (match[2] if match else text), zone


def _period(text: str) -> float:
    seconds = parse_duration(text, name=f"{FIELD}: @every")
    if seconds < _SHORTEST:
        raise UsageError(f"{FIELD}: @every {text!r} is too often; one second is the least")
    return seconds


def _expression(text: str) -> str:
    """Return the fields with the second first, in capitals, once they are known to be right."""
    parts = text.upper().split()
    if len(parts) not in (5, 6):
        raise UsageError(
            f"{FIELD}: {text!r} has {len(parts)} fields; write five (minute, hour, day of the "
            "month, month, day of the week), or six with the second first"
        )
    if len(parts) == 5:
        parts.insert(0, "0")
    for index in (3, 5):
        parts[index] = "*" if parts[index] == "?" else parts[index]
    for index, part in enumerate(parts):
        alone = [*_ANY[:index], part, *_ANY[index + 1 :]]
        _check(alone, f"{FIELD}: {part!r} is nothing that the field {_FIELDS[index]} can be")
    _check(parts, f"{FIELD}: {text!r} never comes: no month has such a day")
    return " ".join(parts)


def _check(parts: list[str], wrong: str) -> None:
    try:
        CronSim(" ".join(parts), datetime(2000, 1, 1))  # noqa: DTZ001 - fields alone
    except (CronSimError, AssertionError, TypeError, ValueError) as error:
        raise UsageError(wrong) from error
