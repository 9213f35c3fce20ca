"""``wherry complete SHELL WORD…``: what may stand in the place of the last word.

Asked by the scripts of ``wherry completion``. A line for each candidate, a tab and what it is;
``:files``, ``:dirs`` and ``:commands`` ask the shell for those.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from wherry.cli import engines, standard
from wherry.cli.parsing import Operand, Parser

if TYPE_CHECKING:
    from wherry.cli.groups import Group

FILES, DIRS, COMMANDS = ":files", ":dirs", ":commands"
Candidate = tuple[str, str]
_BASH_BREAKS = (":", "=")


def parser() -> Parser:
    """Return the options and operands."""
    return Parser(
        "complete",
        summary="Say what may stand in the place of the last word",
        operands=(Operand("SHELL"), Operand("WORD", many=True)),
        options_first=True,
    )


def main(args: argparse.Namespace) -> int:
    """Print the candidates, and return the exit code."""
    from wherry.cli.program import ROOT

    words = args.word
    if args.shell == "bash":
        words = joined(words)
    cut = _cut(words[-1]) if args.shell == "bash" else 0
    for text, what in candidates(ROOT, words):
        shown = text if text.startswith(":") else text[cut:]
        standard.emit(f"{shown}\t{what}\n" if what else f"{shown}\n")
    return 0


def joined(words: Sequence[str]) -> list[str]:
    """Put together what bash takes apart at colons and equals signs (COMP_WORDBREAKS)."""
    whole: list[str] = []
    glued = False
    for word in words:
        breaks = bool(word) and not word.strip(":=")
        if whole and (breaks or glued):
            whole[-1] += word
        else:
            whole.append(word)
        glued = breaks
    return whole


def _cut(word: str) -> int:
    """Return how much of a word bash does not count as the one that is completed."""
    return max(word.rfind(mark) for mark in _BASH_BREAKS) + 1


def candidates(group: Group, words: Sequence[str]) -> Iterator[Candidate]:
    """Yield what may stand in the place of the last word, after those before it."""
    *before, current = words
    if not before:
        for commands in group.commands.values():
            yield from _starting(current, commands.items())
        return
    name, *rest = before
    if name in group.groups:
        yield from candidates(group.group(name), [*rest, current])
    elif name in group.names():
        yield from _of_command(group.load(name).parser(), rest, current)


def _of_command(parser: Parser, before: Sequence[str], current: str) -> Iterator[Candidate]:
    option, operands, options_over = _position(parser, before)
    if option is not None:
        yield from _starting(current, _values(option.metavar))
    elif current.startswith("--") and "=" in current and not options_over:
        name, _, value = current.partition("=")
        if (found := parser.option(name)) is not None and found.nargs != 0:
            for text, what in _starting(value, _values(found.metavar)):
                yield (text, what) if text.startswith(":") else (f"{name}={text}", what)
    elif current.startswith("-") and not options_over:
        yield from _starting(current, _options(parser))
    else:
        yield from _starting(current, _operands(parser.operands, operands))


def _position(parser: Parser, before: Sequence[str]) -> tuple[argparse.Action | None, int, bool]:
    """Return the option that waits for a value, how many operands there are, and the rest."""
    operands = 0
    left = list(before)
    while left:
        word = left.pop(0)
        if word == "--":
            return None, operands + len(left), True
        if word == "-" or not word.startswith("-"):
            operands += 1
            if parser.options_first:
                return None, operands + len(left), True
            continue
        action = parser.option(word) or (parser.option(f"-{word[-1]}") if word[1] != "-" else None)
        if action is not None and action.nargs != 0:
            if not left:
                return action, operands, False
            left.pop(0)
    return None, operands, False


def _options(parser: Parser) -> Iterator[Candidate]:
    for action in parser.options():
        for name in action.option_strings:
            yield name, action.help or ""
    yield "--help", "show what there is"


def _operands(declared: Sequence[Operand], count: int) -> Iterator[Candidate]:
    for place, operand in enumerate(declared):
        if place == count or (operand.many and count > place):
            yield from _values(operand.name)


def _values(metavar: object) -> Iterator[Candidate]:
    """Yield what a value may be, by the word that stands for it in the help."""
    word = metavar if isinstance(metavar, str) else ""
    if word == "IMAGE":
        yield from ((name, "") for name in _images())
    elif word == "ID":
        yield from _containers()
    elif word in _ASKED:
        yield from _of_gateway(*_ASKED[word])
    elif word == "PROGRAM":
        yield COMMANDS, ""
    elif word == "DIR":
        yield DIRS, ""
    elif word in ("FILE", "ARG", "NAME=FILE") or word.startswith("SOURCE:"):
        yield FILES, ""
    elif "|" in word and word.replace("|", "").isalpha():
        yield from ((choice, "") for choice in word.split("|"))


def _images() -> list[str]:
    from wherry.cli.image.ls import names

    store = engines.open_store(argparse.Namespace(data_dir=None))
    return [name.removesuffix(":latest") for image in store.list() for name in names(image)]


def _containers() -> Iterator[Candidate]:
    for container in engines.open_local(argparse.Namespace(data_dir=None)).running():
        yield container.marker.id[:12], container.marker.image


_ASKED = {
    "FUNCTION": ("/system/functions", "image"),
    "SECRET": ("/system/secrets", ""),
    "NAMESPACE": ("/system/namespaces", ""),
}
"""Words that a gateway is asked for: where, and what is shown beside the names."""
_PATIENCE = 1.0
"""Seconds that a shell may be kept waiting for a gateway."""


def _of_gateway(path: str, beside: str) -> Iterator[Candidate]:
    import asyncio

    from wherry.cli import gateway_client
    from wherry.errors import WherryError

    plain = argparse.Namespace(gateway=None, token_file=None, ca_file=None, tls_no_verify=False)

    async def asked() -> list[Any]:
        async with asyncio.timeout(_PATIENCE):
            return list(await gateway_client.gateway_of(plain).ask("GET", path))

    try:
        found = asyncio.run(asked())
    except (WherryError, OSError):  # no gateway, or none that knows us: nothing to offer
        return
    for each in found:
        yield (each, "") if isinstance(each, str) else (each["name"], str(each.get(beside, "")))


def _starting(current: str, found: Iterable[Candidate]) -> Iterator[Candidate]:
    for text, what in found:
        if text.startswith(current) or text in (FILES, DIRS, COMMANDS):
            yield text, what
