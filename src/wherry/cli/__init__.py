"""The command line: one file per subcommand.

Exit codes: the function's own; 124 when its timeout ended it; 125 our failure, 126 a program
that cannot be executed, 127 one that the image does not have, 2 a command that cannot be right.
A signal that ended the function because we were sent it ends us too, by that signal.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``wherry`` command and return its exit code.

    ``argv`` is without the program; when it is None we are the program, and end right here.
    """
    import sys

    from wherry.cli import ending, program, standard

    standard.reserve()
    words = list(sys.argv[1:] if argv is None else argv)
    code = ending.guarded(lambda: program.dispatch(words), name="wherry")
    if argv is None:
        ending.leave(code)
    return code


def docker_dispatch() -> int:
    """Run ``wherry dispatch`` under the name that producers' operators know."""
    import sys

    sys.argv[1:1] = ["dispatch"]
    return main()


def docker_server() -> int:
    """Run ``wherry remote`` under the name that DockerServer is installed by."""
    import sys

    words = sys.argv[1:]
    sys.argv[1:] = words if words == ["--version"] else ["remote", *words]
    return main()
