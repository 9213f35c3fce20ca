"""Commands that are a table of subcommands: ``wherry`` itself and ``wherry image``."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, cast

from wherry.cli import ending, standard
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from wherry.cli.parsing import Parser

_LEADING = ("--engine", "--data-dir")
"""Options that may also stand before the subcommand."""
_RENAMED = {"import": "import_"}
"""Subcommands that cannot be the name of a module."""


class Command(Protocol):
    """The module of a subcommand."""

    @staticmethod
    def parser() -> Parser:
        """Return its options and operands."""
        ...

    @staticmethod
    def main(args: argparse.Namespace) -> int:
        """Do it, and return the exit code."""
        ...


class Group:
    """A table of subcommands, whose modules are loaded when they are asked for.

    ``commands`` is a heading to subcommands to what they do. Of those in ``groups`` the module
    has a ``GROUP``; those in ``hidden`` are for scripts and not in the help. Options without a
    subcommand are those of ``default``, where there is one.
    """

    def __init__(
        self,
        prog: str,
        *,
        package: str,
        text: str,
        usage: str,
        commands: Mapping[str, Mapping[str, str]],
        examples: Sequence[str] = (),
        groups: frozenset[str] = frozenset(),
        hidden: frozenset[str] = frozenset(),
        default: str = "",
    ) -> None:
        self.prog = prog
        self.commands = commands
        self.groups = groups
        self._package = package
        self._text = text
        self._usage = usage
        self._examples = examples
        self._hidden = hidden
        self._default = default

    def dispatch(self, words: Sequence[str]) -> int:
        """Run the subcommand that the words name, and return its exit code."""
        leading, rest = self._split(words)
        if not rest or rest[0] in ("-h", "--help", "help"):
            return self._help(rest)
        name, *rest = self.completed(rest)
        self._check(name)
        if name in self.groups:
            return self.group(name).dispatch([*leading, *rest])
        command = self.load(name)
        parser = command.parser()
        return ending.guarded(
            lambda: command.main(parser.parse([*leading, *rest])), name=parser.prog
        )

    def completed(self, words: Sequence[str]) -> list[str]:
        """Return words with the default subcommand, where they begin with an option."""
        is_option = bool(words) and words[0].startswith("-")
        return [self._default, *words] if self._default and is_option else [*words]

    def load(self, name: str) -> Command:
        """Import the module of a subcommand."""
        return cast("Command", self._module(name))

    def group(self, name: str) -> Group:
        """Import a subcommand that is a group."""
        return cast("Group", self._module(name).GROUP)

    def names(self) -> list[str]:
        """Return the subcommands in the order of the help."""
        return [name for commands in self.commands.values() for name in commands]

    def help(self) -> str:
        """Return the help of the group."""
        width = max(map(len, self.names())) + 2
        parts = [f"Usage: {self._usage}", self._text]
        if self._examples:
            parts.append("Examples:\n" + "\n".join(f"  {line}" for line in self._examples))
        for heading, commands in self.commands.items():
            rows = "\n".join(f"  {name:<{width}}{text}" for name, text in commands.items())
            parts.append(f"{heading}:\n{rows}")
        parts.append(f"`{self.prog} COMMAND --help` says more about each of them.")
        return "\n\n".join(parts) + "\n"

    def _help(self, words: Sequence[str]) -> int:
        if words[:1] == ["help"] and len(words) > 1:
            return self.dispatch([*words[1:], "--help"])
        if not words:
            standard.say(self.help().rstrip("\n"))
            return ending.USAGE
        standard.emit(self.help())
        return 0

    def _split(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        rest = list(words)
        leading: list[str] = []
        while rest and rest[0].partition("=")[0] in _LEADING:
            taken = 1 if "=" in rest[0] else 2
            leading += rest[:taken]
            rest = rest[taken:]
        return leading, rest

    def _check(self, name: str) -> None:
        if name in self.names() or name in self._hidden:
            return
        from wherry.names import nearest

        what = "option" if name.startswith("-") else "command"
        near = nearest(name, self.names())
        raise UsageError(f"there is no {what} {name!r}{near}\nSee `{self.prog} --help`.")

    def _module(self, name: str) -> ModuleType:
        module = _RENAMED.get(name, name.replace("-", "_"))
        return importlib.import_module(f"{self._package}.{module}")
