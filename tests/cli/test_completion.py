"""The completion scripts, loaded by the shells themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.support.require import require
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.shell import Shell

BASH = """
eval "$(wherry completion bash)"
COMP_WORDS=({words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
compopt() {{ :; }}
_wherry
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("wherry re", ["reap", "remote"]),
        ("wherry image pr", ["prune"]),
        ("wherry run --netw", ["--network"]),
        ("wherry run --network ''", ["none", "private", "host"]),
        ("wherry run --network = p", ["private"]),
        ("wherry run --rm busy", ["busybox"]),
        ("wherry run busybox ca", ["case.txt"]),
        ("wherry completion z", ["zsh"]),
    ],
)
def test_bash_completes(sh: Shell, words: str, expected: list[str]) -> None:
    sh.file("case.txt")
    assert sh.out(BASH.format(words=words)).split() == expected


def test_bash_completes_at_a_prompt(sh: Shell) -> None:
    script = "PS1='> ' bash --norc --noprofile -i"
    with Terminal(sh, script) as terminal:
        terminal.read_until("> ")
        terminal.type('eval "$(wherry completion bash)"; echo loa""ded\n')
        terminal.read_until("loaded")
        terminal.type("wherry run --pull al\t")
        terminal.read_until("--pull always")
        terminal.type("\x15exit\n")
        terminal.wait()


def test_zsh_completes_at_a_prompt(sh: Shell) -> None:
    require("zsh")
    with Terminal(sh, "PS1='> ' zsh -f -i") as terminal:
        terminal.read_until("> ")
        terminal.type("autoload -U compinit; compinit -u -D; echo loa''ded\n")
        terminal.read_until("loaded")
        terminal.type('eval "$(wherry completion zsh)"; echo rea""dy\n')
        terminal.read_until("ready")
        terminal.type("wherry run --pull al\t")
        terminal.read_until("always")
        terminal.type("\x15exit\n")
        terminal.wait()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("wherry image pr", ["prune"]),
        ("wherry run --network ", ["host", "none", "private"]),
        ("wherry run busy", ["busybox"]),
    ],
)
def test_fish_completes(sh: Shell, line: str, expected: list[str]) -> None:
    require("fish")
    script = f"wherry completion fish | source; complete -C '{line}'"
    found = sh.out(script, shell="fish").splitlines()
    assert sorted(row.split("\t")[0] for row in found) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_scripts_have_no_syntax_errors(sh: Shell, shell: str) -> None:
    require(shell)
    assert sh.run(f"wherry completion {shell} | {shell} -n").stderr == b""


def test_other_shells_are_told_what_there_is(sh: Shell) -> None:
    done = sh.run("wherry completion tcsh")
    assert done.returncode == 2
    assert b"no script for 'tcsh'" in done.stderr
