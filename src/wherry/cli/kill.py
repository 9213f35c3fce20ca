"""``wherry kill``: send a signal to containers."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wherry.cli import ending, engines, standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.engines.local.reaping import Running


def parser() -> Parser:
    """Return the options and operands."""
    made = Parser(
        "kill",
        summary="Send a signal to containers: SIGKILL, unless told otherwise",
        text="SIGKILL ends everything in the container; any other signal goes to its program.",
        examples=("wherry kill 3f2a", "wherry kill -s TERM $(wherry ps -q)"),
        operands=(
            Operand("ID", "the start of an id that `wherry ps` shows, or a name", many=True),
        ),
    )
    made.value("-s", "--signal", metavar="SIGNAL", help="a name or a number; KILL by default")
    engines.declare(made)
    return made


def main(args: argparse.Namespace) -> int:
    """Send it, print the ids, and return the exit code: 1 when one was not found."""
    number = signal_number(args.signal or "KILL")
    found = engines.open_local(args).running()
    code = 0
    for word in args.id:
        try:
            container = choose(word, found)
        except UsageError as error:
            standard.say(f"wherry kill: {error}")
            code = 1
            continue
        if not _send(container, number):
            standard.say(f"wherry kill: {word!r} did not end; is it stuck in the kernel?")
            code = ending.OUR_FAILURE
        standard.emit(f"{container.marker.id}\n")
    return code


def choose(word: str, found: Sequence[Running]) -> Running:
    """Return the one container that a word names; raises :class:`UsageError`."""
    matching = [one for one in found if one.marker.id.startswith(word)] if word else []
    matching = matching or [one for one in found if one.marker.function == word]
    if not matching:
        raise UsageError(f"no container {word!r} runs; `wherry ps` lists those that do")
    if len(matching) > 1:
        ids = ", ".join(one.marker.id[:12] for one in matching)
        raise UsageError(f"{word!r} is not clear: it may be {ids}")
    return matching[0]


def signal_number(text: str) -> int:
    """Return a signal by its name, with or without SIG, or by its number."""
    names = {known.name: known.value for known in signal.Signals}
    if text.isdecimal() and int(text) in names.values():
        return int(text)
    name = f"SIG{text.upper().removeprefix('SIG')}"
    if name not in names:
        from wherry.names import nearest

        raise UsageError(f"--signal: there is no signal {text!r}{nearest(name, names)}")
    return names[name]


def _send(container: Running, number: int) -> bool:
    from wherry.engines.local import signalling

    if number == signal.SIGKILL:
        return signalling.kill(container)
    signalling.send(container, number)
    return True
