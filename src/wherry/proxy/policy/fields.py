"""The fields of a JSON object, read one by one: what nobody asked for is refused at the end.

A request is never handed on. Each body is read through this into a typed value, and a new body is
written from that value, so only what has been read by name can come out (F1, G4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NoReturn

from wherry.names import nearest
from wherry.proxy.policy.model import Denied

LONGEST_COMMAND = 64 * 1024
"""Bytes of a command that are taken at most."""

_LONGEST_NAME = 64


class Fields:
    """One JSON object on its way into a typed value.

    ``where`` is the path of the object, such as ``HostConfig``, and ``section`` the part of the
    contract that its rules are in. Every reader takes the zero value, null and absence for the
    same thing, and raises :class:`Denied` for a value of another type.
    """

    def __init__(self, given: dict[str, object], *, where: str = "", section: str) -> None:
        self._given = given
        self._where = where
        self._section = section
        self._read: set[str] = set()

    @property
    def known(self) -> frozenset[str]:
        """The fields that have been read: after a whole parse, all that there are."""
        return frozenset(self._read)

    def has(self, key: str) -> bool:
        """Whether the key is there with anything but null."""
        self._read.add(key)
        return self._given.get(key) is not None

    def raw(self, key: str) -> object:
        """Return a value of any type; null and absence are None."""
        self._read.add(key)
        return self._given.get(key)

    def path(self, key: str) -> str:
        """Return how a message names a field of this object."""
        return f"{self._where}.{key}" if self._where else key

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raise :class:`Denied`: 403 with the field and what would be right."""
        raise self.denied(key, why)

    def denied(self, key: str, why: str, *, status: int = 403) -> Denied:
        """Return the refusal of a field, for others to raise."""
        return Denied(status, f"{self.path(key)}: {why}", rule=self._rule(key))

    def text(self, key: str) -> str:
        """Return a text; empty without one."""
        value = self.raw(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value

    def boolean(self, key: str) -> bool:
        """Return a truth; false without one."""
        value = self.raw(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def optional_boolean(self, key: str) -> bool | None:
        """Return a truth, or None without one."""
        return self.boolean(key) if self.has(key) else None

    def integer(self, key: str, *, least: int | None = None, most: int | None = None) -> int:
        """Return a whole number; 0 without one. The limits are for what is given."""
        value = self.raw(key)
        if value is None:
            return 0
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "a whole number")
        if (least is not None and value < least) or (most is not None and value > most):
            limits = f"{'' if least is None else least} to {'' if most is None else most}"
            raise self.denied(key, f"{value} is not within {limits}", status=400)
        return value

    def texts(self, key: str, *, or_one: bool = False) -> tuple[str, ...]:
        """Return a list of texts; with ``or_one``, one text alone is a list of it."""
        value = self.raw(key)
        if value is None:
            return ()
        if or_one and isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._wrong(key, "a list of texts")
        return tuple(value)

    def command(self, key: str) -> tuple[str, ...]:
        """Return a command, as a list or as one text; the engine repeats it in lists and events."""
        words = self.texts(key, or_one=True)
        if sum(len(word.encode()) + 1 for word in words) > LONGEST_COMMAND:
            raise self.denied(key, f"is longer than {LONGEST_COMMAND} bytes", status=413)
        return words

    def integers(self, key: str, *, count: int) -> tuple[int, ...]:
        """Return a list of exactly ``count`` whole numbers from 0 to 65535, or an empty one."""
        value = self.raw(key)
        if value is None or value == []:
            return ()
        right = isinstance(value, list) and len(value) == count
        if not right or not all(type(each) is int and 0 <= each < 65536 for each in value):  # type: ignore[attr-defined]
            raise self._wrong(key, f"a list of {count} whole numbers up to 65535")
        return tuple(value)  # type: ignore[arg-type]

    def pairs(self, key: str) -> dict[str, str]:
        """Return a table of texts."""
        value = self._table(key)
        if not all(isinstance(each, str) for each in value.values()):
            raise self._wrong(key, "an object whose values are texts")
        return dict(value)  # type: ignore[arg-type]

    def keys(self, key: str) -> tuple[str, ...]:
        """Return the keys of a table whose values say nothing: ``{}`` or null, as in a Go set."""
        value = self._table(key)
        if not all(each is None or each == {} for each in value.values()):
            raise self._wrong(key, "an object whose values are {}")
        return tuple(value)

    def child(self, key: str) -> Fields:
        """Return the object in a field, empty without one; its ``done`` is the caller's duty."""
        return Fields(self._table(key), where=self.path(key), section=self._section)

    def children(self, key: str) -> tuple[Fields, ...]:
        """Return the objects in a list."""
        value = self.raw(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self._wrong(key, "a list of objects")
        where = self.path(key)
        return tuple(
            Fields(each, where=f"{where}[{at}]", section=self._section)
            for at, each in enumerate(value)
        )

    def named_children(self, key: str) -> dict[str, Fields]:
        """Return the objects in a table; null is an empty one."""
        found = {}
        for name, value in self._table(key).items():
            if value is not None and not isinstance(value, dict):
                raise self._wrong(key, "an object of objects")
            where = f"{self.path(key)}[{name!r}]"
            found[name] = Fields(value or {}, where=where, section=self._section)
        return found

    def empty(self, *keys: str, why: str) -> None:
        """Take fields that must say nothing: absent, null, or the zero value of their type."""
        for key in keys:
            if not is_zero(self.raw(key)):
                self.refuse(key, why)

    def absent(self, *keys: str, why: str) -> None:
        """Take fields that must be absent or null: here an empty list does say something."""
        for key in keys:
            if self.raw(key) is not None:
                self.refuse(key, why)

    def choice(self, key: str, allowed: Iterable[str], *, status: int = 403) -> str:
        """Return a text that is empty or one of those allowed."""
        value, known = self.text(key), sorted(filter(None, allowed))
        if value and value not in known:
            right = f"one of {', '.join(known)}" if known else "absent"
            raise self.denied(key, f"{value!r} is not allowed; it may be {right}", status=status)
        return value

    def done(self) -> None:
        """Refuse every field that nobody has read, unless it is empty and like none that is known.

        Go takes ``hostconfig``, and ``Bind`` with a long s, for fields; here they are unknown.
        """
        known = {_fold(key): key for key in self._read}
        for key, value in self._given.items():
            if key in self._read:
                continue
            if not key.isascii() or _fold(key) in known:
                right = known.get(_fold(key))
                hint = f"; it is spelled {right!r}" if right else ""
                raise Denied(400, f"{self.path(key)}: there is no such field{hint}", rule="F1")
            if not is_zero(value):
                hint = nearest(key, self._read) if len(key) < _LONGEST_NAME else ""
                hint = hint if "did you mean" in hint else ""
                raise Denied(400, f"{self.path(key)}: there is no such field{hint}", rule="G4")

    def _table(self, key: str) -> dict[str, object]:
        value = self.raw(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return value

    def _wrong(self, key: str, right: str) -> Denied:
        return Denied(400, f"{self.path(key)}: must be {right}", rule=self._rule(key))

    def _rule(self, key: str) -> str:
        """Return the rule of the field of the body that this is, or is a part of."""
        whole = self.path(key).removeprefix("HostConfig.")
        return f"{self._section} {re.split(r'[.[]', whole)[0]}"


def is_zero(value: object) -> bool:
    """Whether a value says nothing: what the docker CLI sends for every field it was not given."""
    return value is None or value is False or value in ("", [], {}) or _is_number_zero(value)


def _is_number_zero(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def _fold(key: str) -> str:
    """Return a key as Go compares it: any case, and two letters that fold into ASCII."""
    return key.casefold().replace("\u017f", "s").replace("\u212a", "k")
