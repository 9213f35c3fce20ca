"""``filters`` of lists, events and prunes: known keys only, own objects only, made anew (G5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from wherry.errors import UsageError
from wherry.names import nearest
from wherry.proxy.policy import names, patterns, strict_json
from wherry.proxy.policy.model import OWNER, Denied, Found, Kind, Named
from wherry.units import parse_duration

_NOTHING = "wherry.nothing"
"""A value that no object has: what a filter by a foreign name comes to."""
_WORD = re.compile(r"[A-Za-z0-9_.:/ -]{1,128}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_PORT = re.compile(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/(?:tcp|udp|sctp))?", re.ASCII)
_MOST = 64

_COPIED: Mapping[str, Mapping[str, re.Pattern[str] | None]] = {
    "container": {"exited": re.compile(r"[0-9]{1,3}"), "expose": _PORT, "health": _WORD, "id": _ID,
                  "label": None, "publish": _PORT, "status": _WORD},
    "image": {"dangling": _WORD, "label": None, "until": _WORD},
    "network": {"driver": _WORD, "id": _ID, "label": None, "scope": _WORD, "type": _WORD,
                "dangling": _WORD},
    "volume": {"dangling": _WORD, "driver": _WORD, "label": None},
    "event": {"event": _WORD, "label": None, "type": _WORD},
}  # fmt: skip
"""Keys whose values go to the engine as they are, with their grammar; None is any text."""
_LOOKED_UP: Mapping[str, Mapping[str, Kind]] = {
    "container": {"ancestor": Kind.IMAGE, "before": Kind.CONTAINER, "since": Kind.CONTAINER,
                  "network": Kind.NETWORK, "volume": Kind.VOLUME},
    "image": {"before": Kind.IMAGE, "since": Kind.IMAGE},
    "network": {},
    "volume": {},
    "event": {"container": Kind.CONTAINER, "image": Kind.IMAGE, "network": Kind.NETWORK,
              "volume": Kind.VOLUME},
}  # fmt: skip
_MUST_BE_OWN = frozenset({"before", "since"})
"""Would tell whether an object exists: 200 or an error."""
_LOCAL = {"container": "name", "network": "name", "volume": "name", "image": "reference"}
_EVENT_TYPES = frozenset({"container", "image", "network", "volume"})
_PRUNE = frozenset({"label", "label!", "until", "dangling", "all"})


@dataclass(frozen=True, slots=True)
class Filters:
    """What of a list is wanted."""

    copied: dict[str, tuple[str, ...]] = field(default_factory=dict)
    named: dict[str, tuple[Named, ...]] = field(default_factory=dict)
    local: tuple[Callable[[str], bool], ...] = ()
    """Tests of names without prefix: the engine's names are others."""

    @property
    def required(self) -> tuple[Named, ...]:
        """What must be the tenant's own, or the answer is 404."""
        return tuple(n for key, each in self.named.items() if key in _MUST_BE_OWN for n in each)

    @property
    def optional(self) -> tuple[Named, ...]:
        """What may be missing from :class:`Found`: nothing matches it then."""
        return tuple(n for key, each in self.named.items() if key not in _MUST_BE_OWN for n in each)

    def render(self, found: Found, *, owner: str = "") -> str:
        """Return the new ``filters``; ``owner`` is the tenant whose label is demanded, if any."""
        body: dict[str, list[str]] = {key: list(values) for key, values in self.copied.items()}
        for key, each in self.named.items():
            body[key] = [_found(one, found) for one in each]
        if owner:
            body["label"] = [*body.get("label", []), f"{OWNER}={owner}"]
        return strict_json.dump(body).decode("ascii") if body else ""

    def keeps(self, plain: Iterable[str]) -> bool:
        """Whether an object of these names, prefix stripped, is wanted."""
        if not self.local:
            return True
        known = tuple(plain)
        return any(test(name) for name in known for test in self.local)


@dataclass(frozen=True, slots=True)
class PruneFilters:
    """What of the tenant's own objects is to go; the proxy prunes by itself, one by one."""

    labels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    until: str = ""
    dangling: bool = True
    everything: bool = False
    """Volumes: named ones, too (``all``)."""

    def keeps(self, labels: Mapping[str, str], *, created: float, now: float) -> bool:
        """Whether an object may go; times in seconds since 1970."""
        if any(not _has(labels, each) for each in self.labels):
            return False
        if any(_has(labels, each) for each in self.without):
            return False
        return not self.until or created < _moment(self.until, now=now)


def parse(text: str, *, kind: str) -> Filters:
    """Read the ``filters`` of a list; ``kind`` is container, image, network, volume or event.

    Raises :class:`Denied` for a key that is not known, or a value that is out of its grammar.
    """
    copied: dict[str, tuple[str, ...]] = {}
    named: dict[str, tuple[Named, ...]] = {}
    local: list[Callable[[str], bool]] = []
    for key, values in _read(text).items():
        if key == _LOCAL.get(kind):
            test = patterns.glob if key == "reference" else patterns.name
            local += [test(value, field=f"filters.{key}") for value in values]
        elif key in _LOOKED_UP[kind]:
            named[key] = tuple(_named(_LOOKED_UP[kind][key], value, key) for value in values)
        elif key in _COPIED[kind]:
            copied[key] = tuple(_copy(value, key, kind) for value in values)
        else:
            known = {*_COPIED[kind], *_LOOKED_UP[kind], *filter(None, (_LOCAL.get(kind),))}
            raise Denied(400, f"invalid filter '{key}'{nearest(key, known)}", rule="G5")
    return Filters(copied, named, tuple(local))


def parse_prune(text: str) -> PruneFilters:
    """Read the ``filters`` of a prune; raises :class:`Denied`."""
    given = _read(text)
    if unknown := given.keys() - _PRUNE:
        key = min(unknown)
        raise Denied(400, f"invalid filter '{key}'{nearest(key, _PRUNE)}", rule="G5")
    until = given.get("until", ())
    if len(until) > 1:
        raise Denied(400, "filters.until: give one", rule="G5")
    for value in until:
        _moment(value, now=0)
    return PruneFilters(
        labels=given.get("label", ()),
        without=given.get("label!", ()),
        until=until[0] if until else "",
        dangling=_truth(given.get("dangling", ("true",)), "dangling"),
        everything=_truth(given.get("all", ("false",)), "all"),
    )


def _read(text: str) -> dict[str, tuple[str, ...]]:
    """Return both spellings, ``{"k":["v"]}`` and ``{"k":{"v":true}}``, as one."""
    given = strict_json.parse_object(text.encode(), where="filters", optional=True)
    found = {}
    for key, value in given.items():
        if isinstance(value, dict) and all(each is True for each in value.values()):
            value = list(value)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Denied(400, f"filters.{key[:40]}: must be a list of texts", rule="G5")
        if len(value) > _MOST:
            raise Denied(400, f"filters.{key[:40]}: more than {_MOST} values", rule="G5")
        found[key] = tuple(value)
    return found


def _copy(value: str, key: str, kind: str) -> str:
    grammar = _COPIED[kind][key]
    if grammar is not None and not grammar.fullmatch(value):
        raise Denied(400, f"filters.{key}: {value[:80]!r} is not valid", rule="G5")
    if kind == "event" and key == "type" and value not in _EVENT_TYPES:
        raise Denied(400, f"filters.type: {value!r} is not one of {', '.join(_EVENT_TYPES)}",
                     rule="G5")  # fmt: skip
    return value


def _named(kind: Kind, value: str, key: str) -> Named:
    right = names.is_image(value) if kind is Kind.IMAGE else names.is_name(value.removeprefix("/"))
    if not right:
        raise Denied(400, f"filters.{key}: {value[:80]!r} is no name", rule="G5")
    return Named(kind, value.removeprefix("/"), f"filters.{key}")


def _found(named: Named, found: Found) -> str:
    if named.kind is Kind.IMAGE:
        image = found.images.get(named.text)
        return image.id if image else _NOTHING
    known = {
        Kind.CONTAINER: found.containers,
        Kind.NETWORK: found.networks,
        Kind.VOLUME: found.volumes,
    }
    return known[named.kind].get(named.text, _NOTHING)


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _truth(values: tuple[str, ...], key: str) -> bool:
    if len(values) != 1 or values[0] not in ("true", "1", "false", "0"):
        raise Denied(400, f"filters.{key}: must be true or false", rule="G5")
    return values[0] in ("true", "1")


def _moment(text: str, *, now: float) -> float:
    """Return a time as seconds since 1970: a number is one, ``10m`` is before now."""
    try:
        if re.fullmatch(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", text, re.ASCII):
            return float(text)
        return now - parse_duration(text, name="filters.until")
    except UsageError as error:
        raise Denied(400, str(error), rule="G5") from error
