"""Writes the battery's table of verdicts: ``python -m tests.security.table``."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from tests.support.probes.table import PROBES, Probe

PATH = Path(__file__).parents[2] / "docs" / "security-probes.md"
_HEAD = """\
<!-- Written by `python -m tests.security.table`: change the probes, not this file. -->

# The probes

What a container's program, or a hostile image, tries in order to get out of its container, and
what must come of it. `pytest tests/security` runs every probe as root, and as an ordinary user,
and fails when a verdict is another one.

| Verdict | Meaning |
| --- | --- |
| contained | denied, or without effect outside of the container |
| harmless | works, and touches nothing but the container itself |
| refused | the call is refused before anything starts, because a limit cannot be kept |
| open | works, and is known to: the reason says why, and what helps |

*User* is an ordinary user who can make no control group. One who can (a systemd session) has
root's verdicts. Programs named `/probes` are in `tests/support/probes/probes.c`, attacks in the
Python modules beside it.
"""


def markdown() -> str:
    """Return the whole page."""
    sections = [_HEAD]
    for group, probes in groupby(PROBES, key=lambda probe: probe.group):
        rows = "\n".join(_row(probe) for probe in probes)
        head = "| Probe | Tries | How | Root | User | Why |\n| --- | --- | --- | --- | --- | --- |"
        sections.append(f"## {group}\n\n{head}\n{rows}\n")
    return "\n".join(sections)


def _row(probe: Probe) -> str:
    refusing = " (or refused, where the machine lacks it)" if probe.may_refuse else ""
    root, user = f"{probe.root}{refusing}", f"{probe.user}{refusing}"
    cells = (probe.name, probe.tries, probe.how, root, user, probe.why)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    PATH.write_text(markdown())
