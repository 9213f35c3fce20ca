"""Pages of the documentation, run as a reader would: in order, in one directory, in one shell.

In a page, ``console`` blocks hold commands after ``$ `` (continued after ``> ``) and what they
print; ``python`` blocks are a prompt's (``>>>``), a file whose first line names it
(``# shout.py``), or a program whose output may follow as a ``text`` block. In expected output
``…`` stands for anything, alone on a line for any number of lines. A comment before a block
says what keeps it from running: ``<!-- not run: REASON -->``, ``<!-- needs memory limits -->``.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

_FENCE = re.compile(
    r"^(?:<!-- (?P<note>.*?) -->\n)?```(?P<lang>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# (?P<name>[\w./-]+\.\w+)\n")
_COMMAND = re.compile(r"^\$ (?P<first>.*)\n(?P<more>(?:> .*\n)*)", re.MULTILINE)
_PATIENCE = 5.0
ANYTHING = "…"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    lang: str
    text: str
    line: int
    note: str = ""

    @property
    def file(self) -> str | None:
        """The name of the file that a block is, as its first line says."""
        match = _FILE.match(self.text)
        return match["name"] if match else None


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block, and what it is said to print."""

    text: str
    expected: str


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(
            match["lang"],
            match["text"],
            page.count("\n", 0, match.start("text")) + 1,
            match["note"] or "",
        )
        for match in _FENCE.finditer(page)
    ]


def commands(text: str) -> list[Command]:
    """Return the commands of a console block."""
    found = list(_COMMAND.finditer(text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    return [
        Command(
            "\n".join([match["first"], *(line[2:] for line in match["more"].splitlines())]),
            text[match.end() : end],
        )
        for match, end in zip(found, ends, strict=True)
    ]


def agrees(said: str, expected: str) -> bool:
    """Whether output is what a page says it is."""
    pattern = ""
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == ANYTHING:
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split(ANYTHING)) + "\n"
    lines = "".join(f"{line.rstrip()}\n" for line in said.rstrip("\n").split("\n"))
    return re.fullmatch(pattern, lines) is not None


class WrongPageError(AssertionError):
    """A page says what is not so."""


@dataclass(slots=True)
class Reader:
    """Does what pages say, in one directory."""

    directory: Path
    able: frozenset[str] = frozenset()
    """What this machine can do of that which blocks need."""
    changes: Mapping[str, str] = field(default_factory=dict)
    """Text of the page to what it is here, such as the port of a registry."""
    done: int = 0
    """Blocks that were run."""
    _names: dict[str, object] = field(default_factory=lambda: {"__name__": "__page__"})

    def read(self, page: Path) -> None:
        """Do everything that a page says; raises :class:`WrongPageError` at the first lie."""
        text = page.read_text()
        for old, new in self.changes.items():
            text = text.replace(old, new)
        found = blocks(text)
        with _Shell(self.directory) as shell, _inside(self.directory):
            for block, after in zip(found, [*found[1:], None], strict=True):
                if self._runs(block):
                    expected = after.text if after and after.lang == "text" else None
                    self._do(block, shell, where=f"{page.name}:{block.line}", expected=expected)

    def _runs(self, block: Block) -> bool:
        if block.note.startswith("needs "):
            return block.note.removeprefix("needs ") in self.able
        return not block.note.startswith("not run")

    def _do(self, block: Block, shell: _Shell, *, where: str, expected: str | None) -> None:
        if block.lang == "console":
            for command in commands(block.text):
                _compare(command.text, shell.run(command.text), command.expected, where=where)
        elif block.file:
            file = self.directory / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
        elif block.lang == "python" and block.text.startswith(">>>"):
            self._prompt(block, where=where)
        elif block.lang == "python":
            said = self._program(block, where=where)
            _compare(block.text, said, expected or "", where=where)
        else:
            return
        self.done += 1

    def _prompt(self, block: Block, *, where: str) -> None:
        """Type a block into Python; names live as long as the page is read."""
        text = block.text.replace(ANYTHING, "...")
        test = doctest.DocTestParser().get_doctest(text, self._names, where, where, 0)
        said: list[str] = []
        examiner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
        if examiner.run(test, out=said.append, clear_globs=False).failed:
            raise WrongPageError("".join(said))
        self._names.update(test.globs)

    def _program(self, block: Block, *, where: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(block.text, where, "exec"), self._names)
        return said.getvalue()


class _Shell:
    """One shell for all commands of a page, so that what one sets the next one has."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._count = 0

    def __enter__(self) -> Self:
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=self._directory,
            env=shell_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        assert self._bash.stdin
        assert self._bash.stdout
        self._bash.stdin.close()
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._bash.wait(_PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):  # nor does what it left running stay
                os.killpg(self._bash.pid, signal.SIGKILL)
            self._bash.wait()
            self._bash.stdout.close()

    def run(self, command: str) -> str:
        """Run a command and return what it prints to both streams."""
        self._count += 1
        end = f"--- {os.getpid()} {self._count} ---"
        quoted = command.replace("'", "'\\''")
        assert self._bash.stdin
        assert self._bash.stdout
        # The exit code of the command before is there for `$?`, and stdin is not our script.
        print(
            f"(exit ${{_code:-0}}); eval '{quoted}' </dev/null; _code=$?; printf '\\n{end}\\n'",
            file=self._bash.stdin,
            flush=True,
        )
        lines: list[str] = []
        for line in self._bash.stdout:
            if line == f"{end}\n":
                break
            lines.append(line)
        else:
            raise WrongPageError(f"the shell ended at: {command}\n{''.join(lines)}")
        return "".join(lines).removesuffix("\n")


def shell_environment() -> dict[str, str]:
    """Return an environment in which ``wherry`` and ``python`` are those of this test run."""
    programs = Path(sys.executable).parent
    path = f"{programs}:{os.environ['PATH']}:/usr/sbin:/sbin"
    return {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "PS1": ""}


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    path, before = sys.path[:], Path.cwd()
    sys.path.insert(0, str(directory))
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path


def _compare(command: str, said: str, expected: str, *, where: str) -> None:
    if not agrees(said, expected):
        raise WrongPageError(f"{where}: {command}\n--- expected\n{expected}\n--- came\n{said}\n---")
