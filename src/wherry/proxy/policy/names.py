"""Names of a tenant's objects, as the tenant writes them and as the engine has them (G10, F8)."""

from __future__ import annotations

import re

from wherry.errors import UsageError
from wherry.images.reference import Reference
from wherry.proxy.policy.model import Denied
from wherry.proxy.policy.patterns import ZONE

_LONGEST = 512
"""Characters of an image's name with its registry, tag and digest; the engine takes fewer."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", re.ASCII)
_LIKE_ID = re.compile(r"[0-9a-f]{12,64}", re.ASCII)
_FULL = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IMAGE_ID = re.compile(r"(?:sha256:)?[0-9a-f]{12,64}", re.ASCII)


def is_name(text: str) -> bool:
    """Whether an object can be looked up by this text: a name, a full id or its beginning."""
    return _NAME.fullmatch(text) is not None


def is_id(text: str) -> bool:
    """Whether this is a full id: 64 hexadecimal digits."""
    return _FULL.fullmatch(text) is not None


def is_image(text: str) -> bool:
    """Whether an image can be looked up by this text: a reference, or (part of) an id."""
    if len(text) > _LONGEST:
        return False
    if _IMAGE_ID.fullmatch(text):
        return True
    try:
        Reference.parse(text)
    except UsageError:
        return False
    return True


def check_new(text: str, *, field: str, least: int = 2) -> str:
    """Return a name for a new object; raises :class:`Denied` for one that could be mistaken.

    The engine takes names of one character for networks only.
    What looks like an id would capture references to another object's id (F8).
    """
    text = text.removeprefix("/")
    if not _NAME.fullmatch(text) or len(text) < least:
        raise Denied(
            400,
            f"{field}: {text!r} is no name; a name is {least} to 128 letters, digits, '_', '.' and "
            "'-', and begins with a letter or digit",
            rule="G1",
        )
    if _LIKE_ID.fullmatch(text):
        raise Denied(400, f"{field}: {text!r} looks like an id; give a name with a letter that is "
                     "no hexadecimal digit", rule="F8")  # fmt: skip
    return text


def scoped(tenant: str, name: str) -> str:
    """Return the engine's name of a tenant's container, network or volume."""
    return f"{tenant}.{name}"


def plain(tenant: str, name: str) -> str:
    """Return the tenant's name of an object; a name without the tenant's prefix stays (an id)."""
    slash = "/" if name.startswith("/") else ""
    return slash + name.removeprefix("/").removeprefix(f"{tenant}.")


def repository(tenant: str) -> str:
    """Return what the engine's names of a tenant's own images begin with."""
    return f"{tenant}.{ZONE}/"


def scoped_image(tenant: str, text: str, *, field: str) -> str:
    """Return the engine's name for an image that the tenant tags as ``text``.

    ``app`` becomes ``<tenant>.wherry.invalid/docker.io/library/app:latest``, so that no tag moves
    that anybody else may rely on. Raises :class:`Denied`.
    """
    given = check_image(text, field=field)
    if given.digest:
        raise Denied(400, f"{field}: {text!r}: a new tag has no digest", rule="2.2 tag")
    if _LIKE_ID.fullmatch(given.repository.rpartition("/")[2]):
        raise Denied(400, f"{field}: {text!r} looks like an image's id; give it another name",
                     rule="F8")  # fmt: skip
    if "[" in given.registry:
        raise Denied(400, f"{field}: {text!r}: a tag cannot name a registry by an IPv6 address",
                     rule="2.2 tag")  # fmt: skip
    host = given.registry.replace(":", "__")  # no host has an underscore
    name = f"{repository(tenant)}{host}/{given.repository}"
    if len(name) > 255:
        raise Denied(400, f"{field}: {text!r} is too long", rule="2.2 tag")
    return f"{name}:{given.tag}"


def plain_image(tenant: str, text: str) -> str | None:
    """Return the tenant's name for one of the engine's tags; None when it is not the tenant's."""
    if not text.startswith(repository(tenant)):
        return None
    host, slash, rest = text.removeprefix(repository(tenant)).partition("/")
    if not slash:
        return None
    try:
        return Reference.parse(f"{host.replace('__', ':')}/{rest}").familiar
    except UsageError:
        return None


def check_image(text: str, *, field: str) -> Reference:
    """Return a reference; raises :class:`Denied` saying what is wrong with it."""
    if len(text) > _LONGEST:
        raise Denied(400, f"invalid reference format: {field}: more than {_LONGEST} characters",
                     rule="G1")  # fmt: skip
    try:
        return Reference.parse(text)
    except UsageError as error:
        raise Denied(400, f"invalid reference format: {field}: {error}", rule="G1") from error
