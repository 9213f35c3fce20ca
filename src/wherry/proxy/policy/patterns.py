"""Patterns of names, matched without a regular expression of the tenant's: no pattern is slow."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry.errors import UsageError
from wherry.proxy.policy.model import Denied

if TYPE_CHECKING:
    from wherry.images.reference import Reference

ZONE = "wherry.invalid"
"""Domain of tenants' tags: RFC 6761 promises that it never resolves, so no push leaves the host."""
_NAME = re.compile(r"(\^?)(/?)([A-Za-z0-9_.-]*)(\$?)", re.ASCII)
_GLOB = re.compile(r"[A-Za-z0-9_.:/@*?-]{1,255}", re.ASCII)


def name(text: str, *, field: str) -> Callable[[str], bool]:
    """Return the test of a ``name`` filter; raises :class:`Denied`.

    The engine takes a regular expression. Here it is part of a name, with ``^`` before it or
    ``$`` behind it.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise Denied(400, f"{field}: {text[:80]!r} must be part of a name, with ^ before it or $ "
                     "behind it; other patterns are not offered", rule="G5")  # fmt: skip
    begins, slash, word, ends = match.groups()

    def test(plain: str) -> bool:
        plain = plain.removeprefix("/")
        if (begins or slash) and ends:
            return plain == word
        if begins or slash:
            return plain.startswith(word)
        return plain.endswith(word) if ends else word in plain

    return test


def glob(text: str, *, field: str) -> Callable[[str], bool]:
    """Return the test of a ``reference`` filter: ``*`` and ``?`` within the parts of a name.

    A pattern without a tag matches every tag. Raises :class:`Denied`.
    """
    if not _GLOB.fullmatch(text):
        raise Denied(400, f"{field}: {text[:80]!r} must be a name with * and ?", rule="G5")

    def test(plain: str) -> bool:
        head, slash, last = plain.rpartition("/")
        bare = head + slash + last.partition("@")[0].partition(":")[0]
        return matches(text, plain) or matches(text, bare)

    return test


def allows(patterns: tuple[str, ...], image: Reference) -> bool:
    """Whether a list of patterns holds an image.

    A pattern is a reference with ``*`` and ``?``. Without a registry it is one of Docker Hub, and
    without a tag it holds every tag and digest. None holds what a tenant has named.
    """
    if image.registry.endswith(f".{ZONE}"):
        return False
    name = f"{image.registry}/{image.repository}"
    suffixes = (f":{image.tag}" if image.tag else "", f"@{image.digest}" if image.digest else "")
    for pattern in patterns:
        repository, tag = split(pattern)
        if not matches(repository, name):
            continue
        if not tag or any(suffix and matches(tag, suffix) for suffix in suffixes):
            return True
    return False


def split(pattern: str) -> tuple[str, str]:
    """Return a pattern's repository, with its registry, and its tag or digest with what it begins.

    Raises :class:`UsageError` for what is no pattern of an image.
    """
    text, at, digest = pattern.partition("@")
    head, slash, last = text.rpartition("/")
    last, colon, tag = last.partition(":")
    repository = head + slash + last
    if not _GLOB.fullmatch(pattern) or not repository:
        raise UsageError(f"{pattern!r} is no pattern of images; write ghcr.io/me/* or busybox:1.*")
    first, slash, _ = repository.partition("/")
    if not slash:
        repository = f"docker.io/library/{repository}"
    elif first != "localhost" and not set(first) & {".", ":", "*"}:
        repository = f"docker.io/{repository}"
    suffix = f"@{digest}" if at else f":{tag}" if colon else ""
    return repository, suffix


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is a name: ``*`` and ``?`` stand for anything but ``/``."""
    ours, theirs = pattern.split("/"), text.split("/")
    return len(ours) == len(theirs) and all(map(_part, ours, theirs))


def _part(pattern: str, text: str) -> bool:
    """Match one part in time that is at most the product of both lengths."""
    at = place = 0
    star, resume = -1, 0
    while place < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, place
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[place]):
            at, place = at + 1, place + 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return pattern[at:].strip("*") == ""
