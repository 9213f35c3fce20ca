"""Functions that files declare: ``wherry.toml``, and OpenFaaS's ``stack.yaml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry import config
from wherry.errors import UsageError
from wherry.functions import stack, toml
from wherry.names import nearest

if TYPE_CHECKING:
    from wherry.functions.model import Deployment
    from wherry.functions.substitution import Variable

TABLES = ("functions", "serve", "schedules", "funker", "dispatch")
"""What a ``wherry.toml`` may hold, whoever reads it."""
_STACK = frozenset({".yaml", ".yml"})
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """What one file declares."""

    path: Path
    deployments: tuple[Deployment, ...]
    read: tuple[Path, ...]
    """Every file that was read for it, itself included."""

    def explain(self, deployment: Deployment, error: UsageError) -> str:
        """Say what is wrong with one of its functions in the file's own words."""
        field = f"functions.{deployment.service}"
        if self.path.suffix in _STACK:
            return f"{field}: {error}"
        return toml.in_words(error, field)


def is_stack(path: Path) -> bool:
    """Whether a file is OpenFaaS's rather than ours, by its name."""
    return path.suffix.lower() in _STACK


def read_declaration(path: Path, *, variable: Variable = config.variable) -> Declaration:
    """Read the functions of a file. Raises :class:`UsageError` that names the place in it."""
    read = [path]

    def include(other: Path) -> str:
        read.append(other)
        return _text(other)

    try:
        if is_stack(path):
            found = stack.deployments(
                _text(path), folder=path.parent, read=include, variable=variable
            )
        else:
            found = toml.deployments(_tables(path))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return Declaration(path=path, deployments=tuple(found), read=tuple(read))


def read_tables(path: Path) -> dict[str, Any]:
    """Return the tables of a ``wherry.toml`` besides its functions, for whom they belong to.

    Raises :class:`UsageError` for a file that is no TOML, or has a table that is nobody's.
    """
    try:
        tables = _tables(path)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    tables.pop("functions", None)
    return tables


def _tables(path: Path) -> dict[str, Any]:
    try:
        given = tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"it is no TOML: {error}") from error
    for name, value in given.items():
        if name not in TABLES:
            what = "table" if isinstance(value, dict) else "key outside a table"
            raise UsageError(f"{name}: there is no such {what}{nearest(name, TABLES)}")
    return given


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        raise UsageError(f"{path.name!r} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name!r} is no text: byte {error.start} is not UTF-8") from error
    if len(text) > _LARGEST:
        raise UsageError(f"{path.name!r} is larger than 16 MiB")
    return text
