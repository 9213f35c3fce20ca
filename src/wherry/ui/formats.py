"""How numbers, times and bytes of strangers are written on a page."""

from __future__ import annotations

from datetime import UTC, datetime

from wherry.units import format_size

_TURNS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
_VISIBLE: dict[int, int | str] = {
    **dict.fromkeys((*range(9), *range(11, 32), *range(0x7F, 0xA0)), 0xFFFD),
    **{code: f"\\u{code:04x}" for code in _TURNS},
}

NONE = "\N{EN DASH}"


def visible(text: str) -> str:
    """Return text whose control characters can be seen and do nothing.

    Also those that turn the direction of writing, with which a name can pose as another.
    """
    return text.replace("\r\n", "\n").translate(_VISIBLE)


def text_of(data: bytes) -> str:
    """Return bytes as text to look at."""
    return visible(data.decode(errors="replace"))


def seconds(value: float | None) -> str:
    """Say a duration with two or three digits: ``0.4 ms``, ``12 ms``, ``1.5 s``, ``3 min 5 s``."""
    if value is None:
        return NONE
    if value < 0.9995:
        return f"{_short(value * 1000)} ms"
    if value < 59.5:
        return f"{_short(value)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"


def rate(value: float) -> str:
    """Say how often a second something happens: ``0``, ``0.02``, ``1.5``, ``340``."""
    if value <= 0:
        return "0"
    return f"{value:.1f}".removesuffix(".0") if 9.95 <= value < 99.95 else _short(value)


def percent(part: float) -> str:
    """Say a part of one: ``0 %``, ``0.4 %``, ``12 %``."""
    if part <= 0:
        return "0 %"
    return f"{max(part * 100, 0.1):.1f} %" if part < 0.1 else f"{part * 100:.0f} %"


def count(value: int) -> str:
    """Say a number with its thousands apart."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def size(value: int | None) -> str:
    """Say a number of bytes."""
    return NONE if value is None else format_size(value)


def ago(moment: float | None, now: float) -> str:
    """Say how long before ``now`` something was, or how long after."""
    if moment is None:
        return NONE
    passed = now - moment
    if abs(passed) < 1:
        return "now"
    about = _about(abs(passed))
    return f"{about} ago" if passed > 0 else f"in {about}"


def iso(moment: float) -> str:
    """Say a time as machines read it."""
    return datetime.fromtimestamp(moment, tz=UTC).isoformat(timespec="milliseconds")


def clock(moment: float) -> str:
    """Say a time to the millisecond, in UTC."""
    when = datetime.fromtimestamp(moment, tz=UTC)
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} UTC"


def day(moment: float) -> str:
    """Say a day of UTC: ``Sun 22 Nov``."""
    when = datetime.fromtimestamp(moment, tz=UTC)
    return f"{when:%a} {when.day} {when:%b}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


def _about(value: float) -> str:
    for each, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if value >= each:
            number = int(value // each)
            return f"{number} {word}{'s' if number > 1 else ''}"
    return f"{int(value)} s"
