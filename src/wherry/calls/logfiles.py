"""Log lines on the disk: for each function a ring of files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from urllib.parse import quote

import msgspec

from wherry.calls.logline import LogLine

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[float, str, str])


class LogFiles:
    """For one thread at a time. A line is a JSON array: Unix time, call id, text."""

    def __init__(self, directory: Path, *, size: int, files: int) -> None:
        self._directory = directory
        self._size = size
        self._files = max(2, files)

    def write(self, lines: Iterable[LogLine]) -> None:
        """Append lines, and give up the oldest file of a function that has too many.

        Raises :class:`OSError`.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        ordered = sorted(lines, key=_function)
        for (name, namespace), group in groupby(ordered, key=_function):
            path = self._path(name, namespace)
            data = b"".join(
                _ENCODER.encode((line.timestamp, line.instance, line.text)) + b"\n"
                for line in group
            )
            if path.exists() and path.stat().st_size + len(data) > self._size:
                self._rotate(path)
            _append(path, data)

    def read(self, name: str, namespace: str) -> list[LogLine]:
        """Return the lines of a function, the oldest first."""
        return [
            LogLine(name, namespace, instance, timestamp, text)
            for path in reversed(self._ring(self._path(name, namespace)))
            for timestamp, instance, text in _lines(path)
        ]

    def remove(self, name: str, namespace: str) -> None:
        """Remove the lines of a function."""
        for path in self._ring(self._path(name, namespace)):
            path.unlink(missing_ok=True)

    def _path(self, name: str, namespace: str) -> Path:
        return self._directory / f"{quote(name, safe='')}.{quote(namespace, safe='')}.log"

    def _ring(self, path: Path) -> list[Path]:
        """Return the files of a function, the latest first."""
        older = [path.with_name(f"{path.name}.{place}") for place in range(1, self._files)]
        return [path, *older]

    def _rotate(self, path: Path) -> None:
        ring = self._ring(path)
        for newer, older in zip(reversed(ring[:-1]), reversed(ring[1:]), strict=True):
            if newer.exists():
                newer.replace(older)


def _function(line: LogLine) -> tuple[str, str]:
    return line.name, line.namespace


def _append(path: Path, data: bytes) -> None:
    with path.open("a+b", buffering=0) as file:
        path.chmod(0o600)
        if end := file.tell():
            file.seek(end - 1)
            if file.read(1) != b"\n":  # the last process was killed in the middle of a line
                data = b"\n" + data
        file.write(data)


def _lines(path: Path) -> Iterator[tuple[float, str, str]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.splitlines():
        try:
            yield _DECODER.decode(line)
        except msgspec.DecodeError:  # half a line
            continue
