"""The memory engine's ``sh -c``: simple commands one after the other, and no more.

It knows ``;`` and newlines, quotes, ``$NAME`` and ``${NAME}``, ``$?``, ``>&2`` and ``exit N``.
Anything else is refused with exit code 2, never half understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.engines.memory.call import Call, Program

_TOKEN = re.compile(
    r"""[ \t]*(?:
        (?P<redirect>1?>&2)
      | (?P<end>[;\n])
      | (?P<word>(?:[^\s;|&<>()'"\\`]|'[^']*'|"(?:[^"\\`]|\\.)*"|\\.)+)
      | (?P<unknown>\S)
    )""",
    re.VERBOSE,
)
_PART = re.compile(r"""'(?P<raw>[^']*)'|"(?P<soft>(?:[^"\\]|\\.)*)"|(?P<bare>(?:[^'"\\]|\\.)+)""")
_NAME = re.compile(r"\\(?P<escaped>.)|\$(?:\{(?P<braced>\w+)\}|(?P<plain>\w+|\?))")


class _UnknownSyntaxError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Command:
    words: tuple[str, ...]
    to_stderr: bool


async def run_script(call: Call, script: str, *, applets: Mapping[str, Program]) -> int:
    """Run a script, each command as one of ``applets``; return the last one's exit code."""
    try:
        commands = list(_commands(script))
    except _UnknownSyntaxError as error:
        await call.stderr.write(f"sh: the memory engine's shell does not know {error}\n".encode())
        return 2
    status = 0
    for command in commands:
        variables = {**call.env, "?": str(status)}
        argv = tuple(_expanded(word, variables) for word in command.words)
        if argv[0] == "exit":
            return int(argv[1]) & 0xFF if argv[1:] else status
        output = call.stderr if command.to_stderr else call.stdout
        status = await _run(replace(call, argv=argv, stdout=output), applets)
    return status


async def _run(call: Call, applets: Mapping[str, Program]) -> int:
    applet = applets.get(call.argv[0])
    if applet is None:
        await call.stderr.write(f"sh: {call.argv[0]}: not found\n".encode())
        return 127
    return await applet(call) or 0


def _commands(script: str) -> Iterator[_Command]:
    words: list[str] = []
    to_stderr = False
    for token in (*_TOKEN.finditer(script), None):
        kind = token.lastgroup if token else "end"
        if token and kind == "unknown":
            raise _UnknownSyntaxError(token["unknown"])
        if token and kind == "word":
            words.append(token["word"])
        elif kind == "redirect":
            to_stderr = True
        elif words:
            yield _Command(tuple(words), to_stderr)
            words, to_stderr = [], False


def _expanded(word: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match["escaped"] is not None:
            return match["escaped"]
        return variables.get(match["braced"] or match["plain"], "")

    parts = _PART.finditer(word)
    return "".join(
        part["raw"] if part.lastgroup == "raw" else _NAME.sub(value, part[part.lastgroup or 0])
        for part in parts
    )
