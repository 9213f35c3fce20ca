"""What ``wherry serve`` was told: an option, else the environment, else its file's table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wherry.cli.serve_options import KEYS, Choice
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.web.rates import Rate

TABLE = "serve"
_NONE = "none"


class Said(NamedTuple):
    """One value, and where it was said."""

    text: str
    where: str
    """The option, or the file and its key."""
    file: Path | None = None
    """Where a relative path starts beside; None: at the working directory."""


class Values:
    """All values of one server; each is read by its kind, where it is wanted."""

    def __init__(self, said: Mapping[str, Sequence[Said]]) -> None:
        self._said = said

    @classmethod
    def read(cls, args: argparse.Namespace, files: Sequence[Path]) -> Values:
        """Read options, and the table of files. Raises :class:`UsageError`."""
        said: dict[str, Sequence[Said]] = dict(_tables(files))
        for key, choice in KEYS.items():
            if (given := _from_option(args, choice)) or (given := _from_environment(choice)):
                said[key] = given
        return cls(said)

    def text(self, name: str) -> str | None:
        """Return what was said last; None when nothing was."""
        said = self._last(name)
        return said.text if said else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all that was said, in order."""
        return tuple(said.text for said in self._said.get(name, ()))

    def is_so(self, name: str) -> bool:
        """Whether it was said to be so."""
        said = self._last(name)
        return said is not None and said.text == "true"

    def path(self, name: str) -> Path | None:
        """Return a path; in a file it starts at the file's directory."""
        said = self._last(name)
        return _path(said) if said else None

    def file_path(self, name: str) -> Path | None:
        """Return a path that a file says, None when it was said elsewhere or not at all."""
        said = self._last(name)
        return _path(said) if said is not None and said.file is not None else None

    def paths(self, name: str) -> tuple[Path, ...]:
        """Return several."""
        return tuple(map(_path, self._said.get(name, ())))

    def size(self, name: str, usual: int) -> int:
        """Return bytes."""
        from wherry.units import parse_size

        said = self._last(name)
        return usual if said is None else parse_size(said.text, name=said.where)

    def seconds(self, name: str, usual: float, *, least: float = 0.001) -> float:
        """Return seconds."""
        from wherry.units import parse_duration

        said = self._last(name)
        if said is None:
            return usual
        seconds = parse_duration(said.text, name=said.where)
        if seconds < least:
            raise UsageError(f"{said.where}: {said.text!r} leaves no time")
        return seconds

    def count(self, name: str, usual: int, *, least: int = 1) -> int:
        """Return a whole number."""
        said = self._last(name)
        if said is None:
            return usual
        if not said.text.isascii() or not said.text.isdigit() or int(said.text) < least:
            raise UsageError(f"{said.where}: {said.text!r} must be a whole number from {least}")
        return int(said.text)

    def mode(self, name: str, usual: int) -> int:
        """Return permissions."""
        said = self._last(name)
        if said is None:
            return usual
        try:
            mode = int(said.text, 8)
        except ValueError:
            mode = -1
        if not 0 <= mode <= 0o777:
            raise UsageError(f"{said.where}: {said.text!r} must be permissions such as 660")
        return mode

    def rate(self, name: str, usual: Rate | None = None) -> Rate | None:
        """Return a rate; ``none`` is none."""
        from wherry.web.rates import Rate

        said = self._last(name)
        if said is None:
            return usual
        return None if said.text == _NONE else Rate.parse(said.text, name=said.where)

    def each(self, name: str) -> tuple[Said, ...]:
        """Return all that was said, with where."""
        return tuple(self._said.get(name, ()))

    def _last(self, name: str) -> Said | None:
        said = self._said.get(name, ())
        return said[-1] if said else None


def _from_option(args: argparse.Namespace, choice: Choice) -> list[Said]:
    value = getattr(args, choice.key)
    given = value if isinstance(value, list) else [value]
    texts = ["true" if each is True else each for each in given if each not in (None, False)]
    return [Said(text, choice.option) for text in texts]


def _from_environment(choice: Choice) -> list[Said]:
    from wherry import config

    name = {"engine": "WHERRY_ENGINE", "data_dir": "WHERRY_DATA_DIR"}.get(choice.key)
    value = config.variable(name) if name else None
    return [Said(value, str(name))] if value else []


def _tables(files: Sequence[Path]) -> Iterator[tuple[str, list[Said]]]:
    from wherry.functions.files import read_tables
    from wherry.functions.shapes import check_keys, table

    seen: dict[str, Path] = {}
    for path in files:
        try:
            given = table(read_tables(path).get(TABLE), TABLE)
            check_keys(given, KEYS, field=TABLE)
        except UsageError as error:
            said = str(error)
            raise UsageError(said if str(path) in said else f"{path}: {said}") from error
        for key, value in given.items():
            if key in seen:
                raise UsageError(f"{path}: {TABLE}.{key}: {seen[key]} says it, too")
            seen[key] = path
            yield key, _from_file(KEYS[key], value, path=path)


def _from_file(choice: Choice, value: object, *, path: Path) -> list[Said]:
    where = f"{path}: {TABLE}.{choice.key}"
    if choice.metavar is None:
        if not isinstance(value, bool):
            raise UsageError(f"{where}: {value!r} must be true or false")
        return [Said("true" if value else "false", where, path)]
    given = value if isinstance(value, list) and choice.several else [value]
    for each in given:
        if choice.key == "socket_mode" and not isinstance(each, str):
            raise UsageError(f'{where}: {value!r} must be text such as "660"')
        if isinstance(each, bool) or not isinstance(each, str | int | float):
            kind = "a list of texts" if choice.several else "text or a number"
            raise UsageError(f"{where}: {value!r} must be {kind}")
    return [Said(str(each), where, path) for each in given]


def _path(said: Said) -> Path:
    if not said.text:
        raise UsageError(f"{said.where}: '' is no path")
    return said.file.parent / said.text if said.file else Path(said.text)
