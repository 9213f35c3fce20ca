"""Every exception wherry raises, and whose fault each one is.

WherryError
├── UsageError (also ValueError)     what the caller asked for cannot be right
│   ├── Unsupported                  …or this engine or machine cannot do it
│   ├── NotFound                     no function, secret, call or namespace of that name
│   ├── AlreadyExists                there is one of that name
│   ├── TooLarge                     more bytes than are taken (413)
│   └── Conflict                     not in the state that it is in
├── EngineError                      ours: worth retrying (502/503, requeue, exit 125)
│   ├── EngineUnavailable            the engine cannot be reached or set up
│   └── Busy                         no capacity in time
│       └── ConcurrencyReached       …because as many calls of the function run as may
├── ImageError
│   ├── ImageNotFound                nobody has it under that name
│   ├── ImageCorrupt                 a digest or size does not match, or an archive is unsafe
│   ├── ImageInUse                   a container still runs from it
│   └── RegistryError                the registry refused or failed
│       └── AuthenticationRequired
├── StartError                       the container could not start its program
│   ├── ProgramNotFound              (exit 127)
│   └── ProgramNotExecutable         (exit 126)
└── FunctionError                    theirs: only from Result.check()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.models import Result


class WherryError(Exception):
    """Base of every error raised by wherry."""


class UsageError(WherryError, ValueError):
    """What was asked for cannot be right; the message names the field and the value."""


class Unsupported(UsageError):
    """This engine or this machine cannot do what was asked; raised before anything starts."""


class NotFound(UsageError):
    """There is no function, secret, call or namespace of that name."""


class AlreadyExists(UsageError):
    """There already is one of that name."""


class TooLarge(UsageError):
    """More bytes than are taken; the message says how many are, and who set that."""


class Conflict(UsageError):
    """What was asked for cannot be done in the state that things are in."""


class EngineError(WherryError):
    """The engine failed, not the function: no exit code is known and a retry may help."""


class EngineUnavailable(EngineError):
    """The engine cannot be reached or set up on this machine."""


class Busy(EngineError):
    """No capacity became free in time."""


class ConcurrencyReached(Busy):
    """As many calls of a function run as it allows."""


class ImageError(WherryError):
    """An image could not be found, fetched, verified or unpacked."""


class ImageNotFound(ImageError):
    """No such image, here or where it would be pulled from."""


class ImageCorrupt(ImageError):
    """Content does not match its digest or size, or an archive tries something unsafe."""


class ImageInUse(ImageError):
    """A container still runs from this image."""


class RegistryError(ImageError):
    """A registry refused or failed."""


class AuthenticationRequired(RegistryError):
    """The registry wants credentials, or does not accept those it was given."""


class StartError(WherryError):
    """The container exists but its program could not be started."""


class ProgramNotFound(StartError):
    """The image has no such program (exit code 127 on the command line)."""


class ProgramNotExecutable(StartError):
    """The program exists but cannot be executed (exit code 126 on the command line)."""


class FunctionError(WherryError):
    """The function ran and failed: non-zero exit, signal, timeout or out of memory.

    Carries the whole :class:`~wherry.models.Result`, so no output is lost.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(_describe(result))

    @property
    def exit_code(self) -> int | None:
        """Exit code of the program; None when it did not get to say."""
        return self.result.exit.code

    @property
    def stdout(self) -> bytes:
        """What the function wrote to stdout before it ended."""
        return self.result.stdout

    @property
    def stderr(self) -> bytes:
        """What the function wrote to stderr before it ended."""
        return self.result.stderr


def _describe(result: Result) -> str:
    import shlex

    command = shlex.join(result.command)
    stderr = result.stderr.decode(errors="replace").strip()
    tail = f": {stderr}" if stderr else ""
    return f"Command '{command}' in image '{result.image}' {result.exit.describe()}{tail}"
