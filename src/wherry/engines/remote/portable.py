"""An invocation that another machine can carry out: what it names of this one goes along."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.engines.remote.protocol import FRAME_BYTES
from wherry.errors import TooLarge, Unsupported, UsageError
from wherry.units import format_size
from wherry.wire import function_to_dict, invocation_to_dict

if TYPE_CHECKING:
    from wherry.models import File, Function, Invocation, Secret

_CARRIED = FRAME_BYTES * 5 // 8
"""Bytes of files and secrets together: base64 makes a third more of them."""


def check(function: Function) -> None:
    """Raise Unsupported for what cannot be done from here."""
    if function.collect:
        raise Unsupported("collect: a remote engine has no way back for files; write to stdout")


def call_document(invocation: Invocation, *, has_stdin: bool) -> bytes:
    """Return the first frame of a call. Reads files: not to be called on an event loop's thread.

    Raises UsageError for a file that cannot be read, TooLarge, Unsupported.
    """
    check(invocation.function)
    function, secrets = _carried(invocation.function)
    document = {
        "invocation": invocation_to_dict(replace(invocation, function=function)),
        "secrets": secrets,
        "stdin": has_stdin,
    }
    return json.dumps(document).encode()


def function_document(function: Function) -> bytes:
    """Return what a server is asked to prepare: without files and secrets, which it need not see.

    Raises Unsupported.
    """
    check(function)
    return json.dumps(
        {"function": function_to_dict(replace(function, files=(), secrets=()))}
    ).encode()


def _carried(function: Function) -> tuple[Function, dict[str, str]]:
    left = [_CARRIED]
    files = tuple(_with_data(file, left) for file in function.files)
    secrets = {secret.name: _encoded(secret, left) for secret in function.secrets}
    return replace(function, files=files, secrets=()), secrets


def _with_data(file: File, left: list[int]) -> File:
    if (file.source is None) == (file.data is None):
        raise UsageError(f"{file.target!r} needs either a path on the host or its data")
    data = _read(file.source, left) if file.source is not None else _counted(file.data or b"", left)
    return replace(file, source=None, data=data)


def _encoded(secret: Secret, left: list[int]) -> str:
    if (secret.path is None) == (secret.value is None):
        raise UsageError(f"secret {secret.name!r} needs either a path on the host or its value")
    if secret.path is not None:
        return base64.b64encode(_read(secret.path, left)).decode()
    return base64.b64encode(_counted(secret.value or b"", left)).decode()


def _read(path: str, left: list[int]) -> bytes:
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe would be waited for
            raise UsageError(f"{path!r} must be a regular file")
        with Path(path).open("rb") as opened:
            data = opened.read(left[0] + 1)
    except OSError as error:
        raise UsageError(f"{path!r} cannot be read: {error.strerror}") from error
    return _counted(data, left)


def _counted(data: bytes, left: list[int]) -> bytes:
    left[0] -= len(data)
    if left[0] < 0:
        raise TooLarge(f"files and secrets of a call may have {format_size(_CARRIED)} together")
    return data
