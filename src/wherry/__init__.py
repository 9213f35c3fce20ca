"""Any container image, called as a function.

    >>> import wherry
    >>> wherry.run("busybox", ["tr", "a-z", "A-Z"], input="hi")
    'HI'

Importing this module does nothing: each name is loaded when it is first used.
"""

from __future__ import annotations

from wherry._version import __version__

TYPE_CHECKING = False  # typing's own takes longer to import than all the rest

if TYPE_CHECKING:
    from wherry import funker as funker
    from wherry.client import AsyncClient, BoundFunction
    from wherry.errors import (
        AlreadyExists,
        AuthenticationRequired,
        Busy,
        ConcurrencyReached,
        Conflict,
        EngineError,
        EngineUnavailable,
        FunctionError,
        ImageCorrupt,
        ImageError,
        ImageInUse,
        ImageNotFound,
        NotFound,
        ProgramNotExecutable,
        ProgramNotFound,
        RegistryError,
        StartError,
        TooLarge,
        Unsupported,
        UsageError,
        WherryError,
    )
    from wherry.models import (
        Collect,
        Exit,
        File,
        Function,
        Invocation,
        Limits,
        Mount,
        Output,
        Ready,
        Result,
        Secret,
    )
    from wherry.pipeline import Pipeline, PipelineResult, Stage
    from wherry.process import DEVNULL, PIPE, STDOUT, Process
    from wherry.sync import Client
    from wherry.sync.default import (
        from_env,
        function,
        invoke,
        map,  # noqa: A004 - the client's own name for it
        pipe,
        popen,
        prepare,
        run,
        start,
        start_pipe,
    )
    from wherry.triggers.mount.asgi import asgi
    from wherry.triggers.mount.wsgi import wsgi

_PLACES = {
    "wherry.client": ("AsyncClient", "BoundFunction"),
    "wherry.errors": (
        "AlreadyExists",
        "AuthenticationRequired",
        "Busy",
        "ConcurrencyReached",
        "Conflict",
        "EngineError",
        "EngineUnavailable",
        "FunctionError",
        "ImageCorrupt",
        "ImageError",
        "ImageInUse",
        "ImageNotFound",
        "NotFound",
        "ProgramNotExecutable",
        "ProgramNotFound",
        "RegistryError",
        "StartError",
        "TooLarge",
        "Unsupported",
        "UsageError",
        "WherryError",
    ),
    "wherry.models": (
        "Collect",
        "Exit",
        "File",
        "Function",
        "Invocation",
        "Limits",
        "Mount",
        "Output",
        "Ready",
        "Result",
        "Secret",
    ),
    "wherry.pipeline": ("Pipeline", "PipelineResult", "Stage"),
    "wherry.process": ("DEVNULL", "PIPE", "STDOUT", "Process"),
    "wherry.sync": ("Client",),
    "wherry.sync.default": (
        "from_env",
        "function",
        "invoke",
        "map",
        "pipe",
        "popen",
        "prepare",
        "run",
        "start",
        "start_pipe",
    ),
    "wherry.triggers.mount.asgi": ("asgi",),
    "wherry.triggers.mount.wsgi": ("wsgi",),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "AlreadyExists",
    "AsyncClient",
    "AuthenticationRequired",
    "BoundFunction",
    "Busy",
    "Client",
    "Collect",
    "ConcurrencyReached",
    "Conflict",
    "EngineError",
    "EngineUnavailable",
    "Exit",
    "File",
    "Function",
    "FunctionError",
    "ImageCorrupt",
    "ImageError",
    "ImageInUse",
    "ImageNotFound",
    "Invocation",
    "Limits",
    "Mount",
    "NotFound",
    "Output",
    "Pipeline",
    "PipelineResult",
    "Process",
    "ProgramNotExecutable",
    "ProgramNotFound",
    "Ready",
    "RegistryError",
    "Result",
    "Secret",
    "Stage",
    "StartError",
    "TooLarge",
    "Unsupported",
    "UsageError",
    "WherryError",
    "__version__",
    "asgi",
    "from_env",
    "function",
    "invoke",
    "map",
    "pipe",
    "popen",
    "prepare",
    "run",
    "start",
    "start_pipe",
    "wsgi",
]


def __getattr__(name: str) -> object:
    if name == "funker":  # a module, so that all of it is found by one name
        import importlib

        return importlib.import_module("wherry.funker")
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(_PLACE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
