"""Options as the docker command reads them: they stop at the first word that is none.

The words are sorted here, into options and operands, and argparse is given options only: so
arguments of the function pass untouched, whatever they look like, and an option's value may
start with a dash.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from wherry.errors import Unsupported, UsageError

_YES = frozenset({"true", "t", "1"})
_NO = frozenset({"false", "f", "0"})


class Operand(NamedTuple):
    """A word that is no option: ``IMAGE``, ``[NAME]``, ``ID…`` or ``[ARG…]``."""

    name: str
    help: str = ""
    optional: bool = False
    many: bool = False

    @property
    def shown(self) -> str:
        """How it stands in a usage line."""
        text = f"{self.name}…" if self.many else self.name
        return f"[{text}]" if self.optional else text


class Parser(argparse.ArgumentParser):
    """The options and operands of one subcommand."""

    def __init__(
        self,
        name: str,
        *,
        summary: str,
        text: str = "",
        examples: Sequence[str] = (),
        operands: Sequence[Operand] = (),
        options_first: bool = False,
    ) -> None:
        super().__init__(prog=f"wherry {name}", add_help=False, allow_abbrev=False)
        self.summary = summary
        self.text = text
        self.examples = examples
        self.operands = operands
        self.sections: dict[str, str] = {}
        """Option to the heading that it stands under; only where there are headings."""
        self.options_first = options_first
        self._refused: Mapping[str, str] = {}
        self._section = ""

    def section(self, heading: str) -> None:
        """Put what is declared from now on under a heading."""
        self._section = heading

    def flag(self, *names: str, help: str) -> None:  # noqa: A002
        """Declare an option that is there or not."""
        self._declare(self.add_argument(*names, action="store_true", help=help))

    def value(self, *names: str, metavar: str, help: str) -> None:  # noqa: A002
        """Declare an option with a value, which is text or None; the last one counts."""
        self._declare(self.add_argument(*names, metavar=metavar, help=help))

    def values(self, *names: str, metavar: str, help: str) -> None:  # noqa: A002
        """Declare an option that may be given several times; all of them count, as a list."""
        self._declare(
            self.add_argument(*names, metavar=metavar, help=help, action="append", default=[])
        )

    def refuse(self, options: Mapping[str, str]) -> None:
        """Name options of docker's that we do not have, and say what to do instead."""
        self._refused = options

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Read the words after the subcommand; raises :class:`UsageError`."""
        options, operands = self._sort(words)
        found = self.parse_args(options)
        self._assign(found, operands)
        return found

    def format_help(self) -> str:
        """Return what ``--help`` shows."""
        from wherry.cli.help import render

        return render(self)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting: one place says what went wrong."""
        raise self.wrong(message)

    def wrong(self, message: str) -> UsageError:
        """Return the error for words that cannot be right."""
        return UsageError(f"{message}\nSee `{self.prog} --help`.")

    def options(self) -> list[argparse.Action]:
        """Return the options in the order in which they were declared."""
        return list(self._actions)

    def option(self, name: str) -> argparse.Action | None:
        """Return an option by ``-x`` or ``--long``."""
        return self._option_string_actions.get(name)

    def _declare(self, action: argparse.Action) -> None:
        if self._section:
            self.sections[action.option_strings[-1]] = self._section

    def _sort(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """Return the options, each as one word that argparse cannot misread, and the rest."""
        options: list[str] = []
        operands: list[str] = []
        rest = list(reversed(words))
        while rest:
            word = rest.pop()
            if word == "--":
                return options, operands + rest[::-1]
            if word == "-" or not word.startswith("-"):
                operands.append(word)
                if self.options_first:
                    return options, operands + rest[::-1]
            else:
                options += self._long(word, rest) if word[1] == "-" else self._short(word, rest)
        return options, operands

    def _long(self, word: str, rest: list[str]) -> list[str]:
        name, equals, value = word.partition("=")
        action = self._known(name)
        if action.nargs == 0:
            return self._switch(name, value) if equals else [name]
        return [f"{name}={value if equals else self._next(name, action, rest)}"]

    def _short(self, word: str, rest: list[str]) -> list[str]:
        found: list[str] = []
        for place, letter in enumerate(word[1:], 1):
            name, after = f"-{letter}", word[place + 1 :]
            action = self._known(name)
            long = action.option_strings[-1]
            if action.nargs == 0:
                if after.startswith("="):
                    return found + self._switch(long, after[1:])
                found.append(long)
            else:
                value = after.removeprefix("=") if after else self._next(name, action, rest)
                return [*found, f"{long}={value}"]
        return found

    def _known(self, name: str) -> argparse.Action:
        if name in ("-h", "--help"):
            self._show_help()
        if (action := self.option(name)) is not None:
            return action
        if name in self._refused:
            raise Unsupported(f"{name}: {self._refused[name]}")
        from wherry.names import nearest

        near = nearest(name, [*self._option_string_actions, *self._refused])
        hint = near if "did you mean" in near else ""
        raise self.wrong(f"there is no option {name!r}{hint}")

    def _show_help(self) -> NoReturn:
        from wherry.cli import ending, standard

        standard.emit(self.format_help())
        raise ending.Ended

    def _next(self, name: str, action: argparse.Action, rest: list[str]) -> str:
        if not rest:
            raise self.wrong(f"option {name} needs a value: {action.metavar}")
        return rest.pop()

    def _switch(self, name: str, value: str) -> list[str]:
        if value.lower() in _YES:
            return [name]
        if value.lower() in _NO:
            return []
        raise self.wrong(f"option {name}: {value!r} must be true or false")

    def _assign(self, found: argparse.Namespace, words: list[str]) -> None:
        left = list(words)
        for operand in self.operands:
            if not left and not operand.optional:
                raise self.wrong(f"{operand.name} is missing")
            name = operand.name.lower()
            if operand.many:
                setattr(found, name, left)
                return
            setattr(found, name, left.pop(0) if left else None)
        if left:
            raise self.wrong(f"{left[0]!r} is one word too many")
