"""How the command ends: from an error to a line on stderr and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from wherry.cli import standard
from wherry.errors import ProgramNotExecutable, ProgramNotFound, UsageError, WherryError

USAGE = 2
TIMED_OUT = 124
OUR_FAILURE = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
KILLED = 137
"""As a shell has it for SIGKILL: the program did not get to say."""
_SIGNALLED = 128


class Ended(Exception):
    """The command is over, with this exit code or by this signal; all has been said."""

    def __init__(self, code: int = 0, *, by: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.by = by


def guarded(work: Callable[[], int], *, name: str) -> int:
    """Do the work of a command; no error of ours comes out as a traceback.

    The command's name stands before what went wrong.
    """
    try:
        return work()
    except Ended as ended:
        return die_by(ended.by) if ended.by else ended.code
    except KeyboardInterrupt:
        return die_by(signal.SIGINT)
    except BrokenPipeError:
        return die_by(signal.SIGPIPE)
    except (WherryError, OSError) as error:
        standard.say(f"{name}: {describe(error)}")
        return code_of(error)
    except Exception:  # noqa: BLE001 - a mistake of ours must not look like the function's exit
        import traceback

        standard.say(f"{name}: a mistake in wherry itself:\n{traceback.format_exc()}")
        return OUR_FAILURE


def leave(code: int) -> NoReturn:
    """End the process at once: all is closed, and tidying Python up would take 15 ms more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # closed, or nobody reads it: what matters was written without it
    os._exit(code)


def code_of(error: BaseException) -> int:
    """Return the exit code that an error stands for."""
    match error:
        case UsageError():
            return USAGE
        case ProgramNotFound():
            return NOT_FOUND
        case ProgramNotExecutable():
            return NOT_EXECUTABLE
    return OUR_FAILURE


def describe(error: BaseException) -> str:
    """Say what an error says."""
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror}"
    return str(error) or type(error).__name__


def die_by(number: int) -> int:
    """End as a program ends that does not catch this signal, so that a shell can tell.

    A shell stops a loop at Ctrl-C only when the command died by it:
    https://www.cons.org/cracauer/sigint.html
    """
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    return _SIGNALLED + number  # as pid 1 of a container nothing ends us by default
