"""``wherry schedule validate``: what is wrong with files of schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import printing, standard
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    import argparse


def parser() -> Parser:
    """Return the options and operands."""
    return Parser(
        "schedule validate",
        summary="Say what is wrong with files of schedules",
        text="Files that end in .ini are ofelia's, all others ours. No gateway is asked. The exit "
        "code is 1 when anything is wrong.",
        examples=("wherry schedule validate wherry.toml ofelia.ini",),
        operands=(Operand("FILE", "wherry.toml, or ofelia's .ini", many=True),),
    )


def main(args: argparse.Namespace) -> int:
    """Print what is declared and say what is wrong; return the exit code."""
    import time
    from datetime import UTC, datetime
    from pathlib import Path

    from wherry.triggers.cron.checking import checked
    from wherry.triggers.cron.sources import read_file

    rows = []
    wrong: list[str] = []
    for name in args.file:
        declared = read_file(Path(name))
        wrong += [f"{name}: {said}" for said in declared.wrong.values()]
        for definition in declared.definitions:
            tick = checked(definition).when.after(time.time())
            upcoming = "-" if tick is None else datetime.fromtimestamp(tick, UTC).isoformat()
            rows.append([definition.name, definition.schedule, definition.kind,
                         upcoming.replace("+00:00", "Z")])  # fmt: skip
    printing.show_table(["NAME", "WHEN", "KIND", "NEXT"], rows)
    for said in wrong:
        standard.say(said)
    return 1 if wrong else 0
