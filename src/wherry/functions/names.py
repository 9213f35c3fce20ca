"""What functions, namespaces and secrets may be called, and how a call names a function."""

from __future__ import annotations

import re

from wherry.errors import UsageError
from wherry.functions.model import DEFAULT_NAMESPACE

LONGEST = 63
"""Characters: a label of the domain name system, as Kubernetes has it."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)


def check_name(text: str, *, field: str) -> str:
    """Return a name of letters, digits, ``-``, ``_`` and ``.``; raises :class:`UsageError`.

    It begins and ends with a letter or a digit, so it is never a hidden file or ``..``.
    """
    if len(text) <= LONGEST and _NAME.fullmatch(text):
        return text
    raise UsageError(
        f"{field}: {text!r} is no name; write at most {LONGEST} letters, digits, '-', '_' "
        "and '.', with a letter or digit at both ends"
    )


def check_namespace(text: str, *, field: str = "namespace") -> str:
    """Return the name of a namespace, which holds no dot; raises :class:`UsageError`."""
    if "." in text:
        raise UsageError(f"{field}: {text!r} holds a dot, which ends a function's own name")
    return check_name(text, field=field)


def split_name(text: str) -> tuple[str, str]:
    """Return (name, namespace) of ``name`` or ``name.namespace``; raises :class:`UsageError`.

    The last dot separates the two, so a name that holds a dot needs its namespace behind it.
    """
    name, dot, namespace = text.rpartition(".")
    if not dot:
        return check_name(text, field="function"), DEFAULT_NAMESPACE
    return check_name(name, field="function"), check_namespace(namespace)


def place_of(text: str, *, namespace: str | None = None) -> tuple[str, str]:
    """Return (name, namespace) where a namespace may be given besides the name.

    Given, it is the namespace and all of ``text`` is the name, unless that ends in the very
    same namespace; otherwise as :func:`split_name`. Raises :class:`UsageError`.
    """
    if not namespace:
        return split_name(text)
    check_namespace(namespace)
    return check_name(text.removesuffix(f".{namespace}"), field="function"), namespace
