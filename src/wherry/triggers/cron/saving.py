"""The files that a run leaves in its schedule's folder."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry.triggers.cron.telling import NotTold

if TYPE_CHECKING:
    from wherry.triggers.cron.model import Run


def save(run: Run, document: dict[str, Any], *, folder: str) -> None:
    """Write ``<YYYYMMDD_HHMMSS>_<job>.{json,stdout.log,stderr.log}``, by the start in UTC.

    A second run within one second gets ``_2`` behind its name. Blocks. Raises :class:`NotTold`.
    """
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        base = _claimed(Path(folder), run)
        _write(f"{base}.stdout.log", run.stdout)
        _write(f"{base}.stderr.log", run.stderr)
        Path(f"{base}.json").write_text(json.dumps(document, indent=2) + "\n")
    except OSError as error:
        raise NotTold(f"{folder}: {error.strerror}") from None


def _claimed(folder: Path, run: Run) -> str:
    moment = datetime.fromtimestamp(run.started or run.scheduled, UTC)
    name = f"{moment:%Y%m%d_%H%M%S}_{run.name.replace(' ', '_')}"
    for number in count(1):
        base = str(folder / (name if number == 1 else f"{name}_{number}"))
        try:
            _write(f"{base}.json", b"")
        except FileExistsError:
            continue
        return base
    raise AssertionError


def _write(path: str, data: bytes) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(data)
