"""``wherry completion``: the scripts by which shells complete our words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.cli import standard
from wherry.cli.parsing import Operand, Parser
from wherry.errors import UsageError

if TYPE_CHECKING:
    import argparse

_BASH = r"""
_wherry() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o filenames
                    while IFS= read -r line; do COMPREPLY+=("$line"); done \
                        < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]#[:=]}") ;;
            :dirs) compopt -o filenames
                    while IFS= read -r line; do COMPREPLY+=("$line"); done \
                        < <(compgen -d -- "${COMP_WORDS[COMP_CWORD]#[:=]}") ;;
            :commands)
                    while IFS= read -r line; do COMPREPLY+=("$line"); done \
                        < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}") ;;
            *) COMPREPLY+=("${line%%$'\t'*}") ;;
        esac
    done < <(wherry complete bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _wherry wherry
"""

_ZSH = r"""
#compdef wherry
_wherry() {
    local line
    local -a found
    for line in "${(@f)$(wherry complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) _files ;;
            :dirs) _files -/ ;;
            :commands) _command_names -e ;;
            *) found+=("${${line%%$'\t'*}//:/\\:}:${${line#*$'\t'}#$line}") ;;
        esac
    done
    (( $#found )) && _describe 'wherry' found
}
if [[ $funcstack[1] = _wherry ]]; then _wherry "$@"; else compdef _wherry wherry; fi
"""

_FISH = r"""
function __wherry_complete
    set -l current (commandline -ct)
    set -l words (commandline -opc) "$current"
    for line in (wherry complete fish $words[2..-1] 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$current"
            case :dirs
                __fish_complete_directories "$current"
            case :commands
                complete -C "$current"
            case '*'
                echo $line
        end
    end
end
complete -c wherry -f -a '(__wherry_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def parser() -> Parser:
    """Return the options and operands."""
    return Parser(
        "completion",
        summary="Print a completion script for bash, zsh or fish",
        examples=(
            'eval "$(wherry completion bash)"    # in ~/.bashrc',
            'eval "$(wherry completion zsh)"     # in ~/.zshrc, after compinit',
            "wherry completion fish > ~/.config/fish/completions/wherry.fish",
        ),
        operands=(Operand("bash|zsh|fish"),),
    )


def main(args: argparse.Namespace) -> int:
    """Print it, and return the exit code."""
    shell = getattr(args, "bash|zsh|fish")
    if shell not in SCRIPTS:
        from wherry.names import nearest

        raise UsageError(f"there is no script for {shell!r}{nearest(shell, SCRIPTS)}")
    standard.emit(SCRIPTS[shell].lstrip("\n"))
    return 0
