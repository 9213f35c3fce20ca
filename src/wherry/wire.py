"""Invocations and functions as JSON, for a queue, a file or another machine.

Only what differs from the default is written. Reading is strict: an unknown key, a missing one
or a value of the wrong type is a :class:`UsageError` that says where it is.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast

from wherry.errors import UsageError
from wherry.models import Function, Invocation, Secret
from wherry.names import nearest

T = TypeVar("T")
_hints = functools.cache(typing.get_type_hints)


def invocation_to_dict(invocation: Invocation) -> dict[str, Any]:
    """Return an invocation as JSON values.

    Raises :class:`UsageError` when a secret is given by value, which never leaves its process.
    """
    return _fields(invocation, path="invocation")


def invocation_from_dict(data: Mapping[str, Any]) -> Invocation:
    """Read what :func:`invocation_to_dict` wrote. Raises :class:`UsageError`."""
    return _dataclass(Invocation, data, path="invocation")


def function_to_dict(function: Function) -> dict[str, Any]:
    """Return a function as JSON values; raises as :func:`invocation_to_dict` does."""
    return _fields(function, path="function")


def function_from_dict(data: Mapping[str, Any]) -> Function:
    """Read what :func:`function_to_dict` wrote. Raises :class:`UsageError`."""
    return _dataclass(Function, data, path="function")


# ---- writing -------------------------------------------------------------------------------


def _fields(value: Any, *, path: str) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    if isinstance(value, Secret) and value.value is not None:
        raise UsageError(
            f"{path}: secret {value.name!r} is given by value, which stays in this process; "
            "give it by path"
        )
    written = {}
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.name == "id" or item != _default(field):
            written[field.name] = _plain(item, path=f"{path}.{field.name}")
    return written


def _default(field: dataclasses.Field[Any]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _plain(value: Any, *, path: str) -> Any:  # noqa: ANN401 - any JSON value
    if dataclasses.is_dataclass(value):
        return _fields(value, path=path)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return [_plain(item, path=f"{path}[{place}]") for place, item in enumerate(value)]
    if isinstance(value, Mapping):
        return dict(value)
    return value


# ---- reading -------------------------------------------------------------------------------


def _dataclass(kind: type[T], data: object, *, path: str) -> T:
    if not isinstance(data, Mapping):
        raise UsageError(f"{path}: must be an object, not {data!r:.80}")
    hints = _hints(cast("Any", kind))
    for key in data:
        if key not in hints:
            raise UsageError(f"{path}: there is no {key!r}{nearest(str(key), hints)}")
    for field in dataclasses.fields(cast("Any", kind)):
        if field.name not in data and _default(field) is dataclasses.MISSING:
            raise UsageError(f"{path}: {field.name!r} is missing")
    values = {key: _read(hints[key], data[key], path=f"{path}.{key}") for key in data}
    return kind(**values)


def _read(hint: Any, value: Any, *, path: str) -> Any:  # noqa: ANN401 - any JSON value
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {Union, types.UnionType}:
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _read(inner, value, path=path)
    if dataclasses.is_dataclass(hint):
        return _dataclass(cast("type[Any]", hint), value, path=path)
    if origin is tuple:
        return _tuple(arguments[0], value, path=path)
    if origin is Literal:
        if value not in arguments:
            raise UsageError(f"{path}: there is no {value!r}{nearest(str(value), arguments)}")
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _texts(value, path=path)
    return _scalar(hint, value, path=path)


def _tuple(hint: Any, value: object, *, path: str) -> tuple[Any, ...]:  # noqa: ANN401
    if not isinstance(value, list | tuple):
        raise UsageError(f"{path}: must be a list, not {value!r:.80}")
    return tuple(_read(hint, item, path=f"{path}[{place}]") for place, item in enumerate(value))


def _texts(value: object, *, path: str) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{path}: must be an object, not {value!r:.80}")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise UsageError(f"{path}: {key!r} must be text, not {text!r:.80}")
    return dict(value)


def _scalar(hint: type, value: Any, *, path: str) -> Any:  # noqa: ANN401 - any JSON value
    if hint is bytes:
        return _bytes(value, path=path)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint or (isinstance(value, float) and not math.isfinite(value)):
        raise UsageError(f"{path}: must be {_WORDS[hint]}, not {value!r:.80}")
    return value


def _bytes(value: object, *, path: str) -> bytes:
    try:
        return base64.b64decode(cast("str", value), validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise UsageError(f"{path}: must be base64, not {value!r:.80}") from error


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
