"""From a method and a raw target to one endpoint, strictly (G1, G2, F4), and back to a target."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from wherry.proxy.policy import names
from wherry.proxy.policy.model import Denied, Kind, Named, missing
from wherry.proxy.policy.operations import ENDPOINTS, Endpoint, Operation

OLDEST, NEWEST = 41, 56
"""Minor numbers of the API versions that are understood: 1.41 to 1.56."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
_TARGET = 16 * 1024
_PRINTABLE = re.compile(rb"/[!-~]*")
_VERSION = re.compile(r"/v([0-9]+)\.([0-9]+)(?=/)")
_LOOKS_VERSIONED = re.compile(r"/[vV]?[0-9][0-9.]*(?:/|$)")
_PLUS = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLOTS = {
    "{container}": Kind.CONTAINER,
    "{network}": Kind.NETWORK,
    "{volume}": Kind.VOLUME,
    "{exec}": Kind.EXEC,
    "{image}": Kind.IMAGE,
}


class Query(tuple[tuple[str, str], ...]):
    """The decoded pairs of a query, in their order."""

    __slots__ = ()

    def one(self, key: str, default: str = "") -> str:
        """Return the value of a key that may be there once; raises :class:`Denied`."""
        values = self.all(key)
        if len(values) > 1:
            raise Denied(400, f"{key}: given {len(values)} times in the query; give it once",
                         rule="G5")  # fmt: skip
        return values[0] if values else default

    def all(self, key: str) -> tuple[str, ...]:
        """Return every value of a key."""
        return tuple(value for name, value in self if name == key)

    @property
    def keys(self) -> frozenset[str]:
        """The keys that are there."""
        return frozenset(name for name, _ in self)


NO_QUERY = Query()


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for, before anything is known about whose it is."""

    operation: Operation
    method: str
    name: str = ""
    """The name in the path, decoded and of the grammar of its kind; empty where there is none."""
    query: Query = NO_QUERY
    version: int = NEWEST
    """Minor number of the API version in the path; the pinned one where the path has none."""


def route(method: str, target: bytes, *, newest: int = NEWEST) -> Route:
    """Return the endpoint that a request line asks for; raises :class:`Denied`.

    ``newest`` is the minor number of the pinned version: what ``/_ping`` promised. Only the exact
    spelling of an endpoint is found; a name that no object of its kind can have is answered as one
    that does not exist. Verdicts are not made here: also what is always denied has a route.
    """
    if method == "OPTIONS":
        raise Denied(403, "OPTIONS is not available through this socket", rule="F13")
    if len(target) > _TARGET:
        raise Denied(414, f"the request's target is longer than {_TARGET} bytes", rule="G1")
    if not _PRINTABLE.fullmatch(target) or b"#" in target or b"\\" in target:
        raise Denied(400, "the request's target must be a path of printable ASCII", rule="G1")
    path, mark, raw = target.decode("ascii").partition("?")
    version, rest = _split_version(path, newest=newest)
    if method not in _METHODS:
        raise Denied(404, "page not found", rule="G2")
    operation, name = _find(method, rest)
    return Route(operation, method, name, parse_query(raw) if mark else Query(), version)


def target(path: str, *, version: int, query: Mapping[str, str | Iterable[str]] | None = None
           ) -> bytes:  # fmt: skip
    """Return the target of a request to the engine: always below the one pinned version.

    ``path`` is words and full ids, such as ``/containers/<id>/json``, and is quoted; ``query``
    holds what :mod:`wherry.proxy.policy.queries` made anew.
    """
    text = f"/v1.{version}{quote(path, safe='/:@.-_~')}"
    pairs: list[tuple[str, str]] = []
    for key, value in (query or {}).items():
        pairs += [(key, value)] if isinstance(value, str) else [(key, each) for each in value]
    return (f"{text}?{urlencode(pairs)}" if pairs else text).encode("ascii")


def parse_query(raw: str) -> Query:
    """Return the pairs of a raw query; raises :class:`Denied` for what two readers could differ on.

    A semicolon, a percent sign that begins no escape, text that is not UTF-8 and control
    characters are refused.
    """
    if ";" in raw:
        raise Denied(400, "invalid semicolon separator in query", rule="G5")
    pairs = []
    for part in filter(None, raw.split("&")):
        key, _, value = part.partition("=")
        pairs.append((_decode(key, where="query"), _decode(value, where="query")))
    return Query(tuple(pairs))


def _split_version(path: str, *, newest: int) -> tuple[int, str]:
    match = _VERSION.match(path)
    if match is None:
        if _LOOKS_VERSIONED.match(path):
            raise Denied(400, f"{path!r} has no version such as v1.{OLDEST}", rule="F4")
        return newest, path
    major, minor = match.groups()
    said = f"{major}.{minor}"
    if major != "1" or minor != str(int(minor[:9])):
        raise Denied(400, f"client version {said} is no version such as 1.{OLDEST}", rule="F4")
    if int(minor) < OLDEST:
        raise Denied(
            400,
            f"client version {said} is too old. Minimum supported API version is 1.{OLDEST}, "
            "please upgrade your client to a newer version",
            rule="F4",
        )
    if int(minor) > newest:
        raise Denied(400, f"client version {said} is too new. Maximum supported API version is "
                     f"1.{newest}", rule="F4")  # fmt: skip
    return int(minor), path[match.end() :]


def _find(method: str, path: str) -> tuple[Operation, str]:
    _check_segments(path)
    segments = path[1:].split("/")
    for endpoint in ENDPOINTS:
        if endpoint.method in (method, "*"):
            found = _matches(endpoint, segments)
            if found is not None:
                slot, text = found
                return endpoint.operation, _name(slot, text) if slot else ""
    if "%" in path:
        raise Denied(400, f"{path!r}: only an image's name may have escapes", rule="G1")
    raise Denied(404, "page not found", rule="G2")


def _check_segments(path: str) -> None:
    segments = path[1:].split("/")
    body = segments[:-1] if path == "/networks/" else segments
    if any(segment in ("", ".", "..") for segment in body):
        if path.endswith("/") and "" not in segments[:-1]:
            raise Denied(404, "page not found", rule="G2")
        raise Denied(400, f"{path!r}: a path has no empty, '.' or '..' parts", rule="G1")


def _matches(endpoint: Endpoint, segments: list[str]) -> tuple[str, str] | None:
    """Return the slot of an endpoint's path and the text in it; None when it is another path."""
    words = endpoint.path[1:].split("/")
    if words[-1] == "**":
        words = words[:-1]
        return ("", "") if _same(words, segments[: len(words)]) else None
    slots = [at for at, word in enumerate(words) if word in _SLOTS]
    if not slots:
        return ("", "") if words == segments else None
    at = slots[0]
    after = words[at + 1 :]
    end = len(segments) - len(after)
    if end <= at or segments[:at] != words[:at] or segments[end:] != after:
        return None
    return words[at], "/".join(segments[at:end])


def _same(words: list[str], segments: list[str]) -> bool:
    return len(words) == len(segments) and all(
        word in _SLOTS or word == segment for word, segment in zip(words, segments, strict=True)
    )


def _name(slot: str, text: str) -> str:
    """Return a name of the grammar of its kind: what has none is as good as not there."""
    kind = _SLOTS[slot]
    if kind is Kind.IMAGE:
        text = _decode(text, where="image", plus=False)
        right = names.is_image(text)
    elif "%" in text:
        raise Denied(400, f"{text!r}: write the name of a {kind.value} without %", rule="G1")
    else:
        right = names.is_id(text) if kind is Kind.EXEC else names.is_name(text)
    if not right:
        raise missing(Named(kind, text))
    return text


def _decode(text: str, *, where: str, plus: bool = True) -> str:
    if _PLUS.search(text):
        raise Denied(400, f"{where}: {text!r}: a % must begin an escape such as %2F", rule="G1")
    octets = (text.replace("+", " ") if plus else text).encode("ascii")
    decoded = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), octets)
    try:
        result = decoded.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Denied(400, f"{where}: {text!r} is not UTF-8", rule="G1") from error
    if any(ord(char) < 32 or ord(char) == 127 for char in result) and where != "query":
        raise Denied(400, f"{where}: {text!r} has control characters", rule="G1")
    if "\0" in result:
        raise Denied(400, f"{where}: {text!r} has a null character", rule="G1")
    return result
