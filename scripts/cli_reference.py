"""Write docs/reference/cli.md from the parsers of the command, so that it cannot be wrong.

python scripts/cli_reference.py           write it
python scripts/cli_reference.py --check   exit 1 when it is not what would be written
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wherry.cli.help import sections, usage
from wherry.cli.program import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry.cli.groups import Group
    from wherry.cli.parsing import Parser

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

INTRODUCTION = """\
# Command line

Written by `scripts/cli_reference.py` from the command itself; `wherry COMMAND --help` shows the
same.

stdin and stdout belong to the function. What wherry has to say goes to stderr, progress bars
only to a terminal. `--engine` and `--data-dir` may also stand before the subcommand.

## Exit codes

| Code | Meaning |
| --- | --- |
| the function's own | it ended by itself; 128+N when signal N ended it |
| 124 | its `--timeout` ended it, as timeout(1) has it; a line on stderr says so |
| 137 | it was killed: also for using more than its memory, and a line on stderr says so |
| 125 | wherry failed: the engine, the image, a registry |
| 126 | the program cannot be executed |
| 127 | the image has no such program |
| 2 | the command, or what it asks for, cannot be right, or cannot be done on this machine |

`wherry invoke` ends with 125 also when the gateway cannot call the function, whatever the reason.

A function that ends by a SIGINT, SIGTERM or SIGHUP which `wherry run` was sent ends `wherry run`
by the same signal (so a shell's loop stops at Ctrl-C), and a closed stdout ends both by SIGPIPE;
`$?` is then 128+N as well.

## `wherry run --json`

One object on one line, printed when the call has ended; the exit code stays the function's own.

| Field | |
| --- | --- |
| `id` | of the call, as `wherry ps` shows it |
| `name`, `image`, `command` | what was called |
| `exit_code` | null when the program did not get to say |
| `reason` | `exited`, `signal`, `timeout`, `killed`, `oom` or `output` |
| `signal` | the name of the signal that ended it, or null |
| `duration` | seconds, from the call to its end |
| `stdout`, `stderr` | what it wrote; of stderr the last MiB (`stderr_truncated` tells) |
| `stdout_encoding`, `stderr_encoding` | `utf-8`, or `base64` for what is no UTF-8 |

## Environment

| Variable | |
| --- | --- |
| `WHERRY_ENGINE` | the engine, where `--engine` does not name one |
| `WHERRY_DATA_DIR` | the data directory, where `--data-dir` does not name one |
| `WHERRY_GATEWAY`, `OPENFAAS_URL` | the gateway, where `--gateway` does not name one |
| `WHERRY_TOKEN` | the token for it, where `--token-file` does not hold one |

[Configuration](configuration.md) has the rest.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *_group(ROOT)]).rstrip("\n") + "\n"


def _group(group: Group) -> Iterator[str]:
    for name in group.names():
        if name in group.groups:
            yield from _group(group.group(name))
        else:
            yield from _command(group.load(name).parser())


def _command(parser: Parser) -> Iterator[str]:
    yield f"## {parser.prog}\n"
    yield f"{parser.summary}.\n"
    yield f"    {usage(parser)}\n"
    if parser.text:
        yield f"{parser.text}\n"
    if parser.examples:
        lines = "\n".join(parser.examples)
        yield f"```sh\n{lines}\n```\n"
    operands = [(operand.name, operand.help) for operand in parser.operands if operand.help]
    if operands:
        yield _table("Argument", operands)
    for heading, rows in sections(parser):
        yield _table(heading, [(name.strip(), text) for name, text in rows])


def _table(heading: str, rows: list[tuple[str, str]]) -> str:
    lines = [f"| {heading} | |", "| --- | --- |"]
    lines += [f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the page or compare it."""
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text() == page() else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
