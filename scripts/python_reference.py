"""Write docs/reference/python.md from signatures and docstrings, so that it cannot be wrong.

python scripts/python_reference.py           write it
python scripts/python_reference.py --check   exit 1 when it is not what would be written
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import wherry
from wherry import engines, errors, options, units, wire
from wherry.engines import base
from wherry.process.ends import Reader, Writer
from wherry.sync import LiveContainer, SyncFunction, SyncProcess
from wherry.testing import Call, MemoryEngine

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "python.md"

FUNCTIONS = ("run", "invoke", "start", "popen", "map", "pipe", "start_pipe", "function",
             "prepare", "from_env", "asgi", "wsgi")  # fmt: skip
VALUES = ("Function", "Limits", "Mount", "Secret", "File", "Collect", "Ready", "Invocation",
          "Result", "Output", "Exit", "PipelineResult", "Stage")  # fmt: skip
CLASSES: dict[str, tuple[type, ...]] = {
    "The client": (wherry.Client, SyncFunction, LiveContainer, SyncProcess),
    "The client for asyncio": (wherry.AsyncClient, wherry.BoundFunction, wherry.Pipeline,
                               wherry.Process, Reader, Writer),
    "Engines": (base.Engine, base.Container, base.ReadyEngine, base.Slot),
    "Engines for tests: `wherry.testing`": (MemoryEngine, Call),
}  # fmt: skip
CONSTANTS = {
    "PIPE": "A stream of `popen` that the caller holds; `subprocess.PIPE`.",
    "STDOUT": "For `stderr` of `popen`: to where stdout goes; `subprocess.STDOUT`.",
    "DEVNULL": "A stream of `popen` that is empty or thrown away; `subprocess.DEVNULL`.",
    "__version__": "The version, as text.",
}
TYPES = {
    "Input": ("wherry.streams", "None, text, bytes, an open file, or an iterable of bytes or text"),
    "Inputs": ("wherry.client", "the inputs of `map`: an iterable of `Input`, maybe asynchronous"),
    "Progress": ("wherry.client", "called with the results so far and of all, None if unknown"),
    "Source": ("wherry.process.targets", "`PIPE`, `DEVNULL`, a descriptor, or any `Input`"),
    "Target": ("wherry.process.targets",
               "`PIPE`, `DEVNULL`, a descriptor or file, `STDOUT` for stderr; None is our own"),
    "StrPath": ("wherry.options", "text or a `pathlib.Path`"),
    "Network": ("wherry.models", "`none`, `private` or `host`"),
    "PullPolicy": ("wherry.models", "`missing`, `always` or `never`"),
    "StreamName": ("wherry.models", "`stdout` or `stderr`"),
    "ExitReason": ("wherry.models", "`exited`, `signal`, `timeout`, `killed`, `oom` or `output`"),
    "Event": ("wherry.engines.base", "an `Output` or an `Exit`"),
    "Stdin": ("wherry.engines.base", "an asynchronous iterable of bytes"),
}  # fmt: skip
CONSTRUCTED = {"Client", "AsyncClient", "MemoryEngine"}
"""Classes whose objects callers make themselves."""
INTERNAL = {"Pipeline.stand", "Pipeline.leave", "SyncProcess.start", "Process.start",
            "Process.add_done_callback", "Reader.feed", "Reader.end",
            "Reader.keep_in_memory", "Writer.source", "Writer.end"}  # fmt: skip
"""Public for the rest of wherry, and not for callers."""
SPECIAL = ("__call__", "__aiter__", "__iter__")
INTRODUCTION = """\
# Python

Written by `scripts/python_reference.py` from the code itself.

Times are seconds and sizes are bytes unless it says otherwise. Where text is taken for one,
`512m` is 512 MiB and `1m30s` is 90 seconds. `input` is None, text (sent as
UTF-8), bytes, an open file, or anything that yields bytes or text, for an asynchronous client
also asynchronously. `wherry` is typed; `import wherry` loads nothing until a name is used.
"""
_WIDTH = 96
_ROLE = re.compile(r":(?:class|meth|func|mod|attr|data):`~?([\w.]+)`", re.ASCII)


def page() -> str:
    """Return the whole page."""
    text = "\n".join([INTRODUCTION, *_functions(), *_options(), *_rest()])
    return _linked(text).rstrip("\n") + "\n"


def _functions() -> Iterator[str]:
    yield "## Functions of the module\n"
    yield (
        "They use one client for the whole process, which `from_env` makes when it is first used "
        "and which is closed when Python exits.\n"
    )
    for name in FUNCTIONS:
        yield from _callable(f"wherry.{name}", getattr(wherry, name), level=3)


def _options() -> Iterator[str]:
    yield "## Options\n"
    yield (
        "Keywords of `run`, `start`, `popen`, `prepare` and `function`. All may be left out. An "
        "unknown one is a `TypeError`, a value that cannot be right a `UsageError`.\n"
    )
    yield from _fields_table(options.Options, with_defaults=False)


def _rest() -> Iterator[str]:
    yield from _section("The client")
    yield from _section("The client for asyncio")
    yield "## Values\n"
    yield "Immutable, and made with keywords.\n"
    for name in VALUES:
        yield from _value(name, getattr(wherry, name))
    yield "## Errors\n"
    tree = (errors.__doc__ or "").partition("\n\n")[2]
    yield f"```text\n{tree.strip()}\n```\n"
    yield from (f"- `wherry.{name}`: {_sentence(error)}" for name, error in _errors())
    yield ""
    yield "`FunctionError` also has `result`, the whole `Result`, and of it:\n"
    yield from _properties(wherry.FunctionError)
    yield "## Names of types\n"
    yield "| Name | Where | Meaning |\n| --- | --- | --- |"
    for name, (place, text) in TYPES.items():
        assert hasattr(importlib.import_module(place), name)
        yield f"| `{name}` | `{place}` | {text} |"
    yield ""
    yield "## Constants\n"
    yield from (f"- `wherry.{name}`: {text}" for name, text in CONSTANTS.items())
    yield ""
    yield from _section("Engines")
    yield from _callable("wherry.engines.connect", engines.connect, level=3)
    yield from _section("Engines for tests: `wherry.testing`")
    yield "## Sizes, times and JSON\n"
    for module in (units, wire):
        for name, made in vars(module).items():
            if inspect.isfunction(made) and made.__module__ == module.__name__ and name[0] != "_":
                yield from _callable(f"{module.__name__}.{name}", made, level=3)


def _errors() -> list[tuple[str, type]]:
    return [(name, made) for name, made in vars(errors).items()
            if inspect.isclass(made) and issubclass(made, errors.WherryError)]  # fmt: skip


def _section(title: str) -> Iterator[str]:
    yield f"## {title}\n"
    for made in CLASSES[title]:
        yield from _class(made)


def _class(made: type) -> Iterator[str]:
    yield f"### {made.__name__}\n"
    if made.__name__ in CONSTRUCTED:
        yield _signature(made.__name__, vars(made)["__init__"])
    yield _prose(made)
    if dataclasses.is_dataclass(made):
        yield from _fields_table(made, with_defaults=False)
    yield from _properties(made)
    for name, member in vars(made).items():
        function = member.__func__ if isinstance(member, classmethod) else member
        shown = f"{made.__name__}.{name}"
        if inspect.isfunction(function) and _is_shown(shown, function):
            yield from _callable(shown, function, level=4)


def _is_shown(name: str, function: Callable[..., Any]) -> bool:
    last = name.rpartition(".")[2]
    if last.startswith("_"):
        return last in SPECIAL and bool(function.__doc__)
    return name not in INTERNAL


def _properties(made: type) -> Iterator[str]:
    rows = [f"- `{name}`: {_inline(member)}" for name, member in vars(made).items()
            if isinstance(member, property) and name[0] != "_"]  # fmt: skip
    described = {} if dataclasses.is_dataclass(made) else _described(made)
    rows += [f"- `{name}`: {text}" for name, text in described.items() if name[0] != "_"]
    yield from [*rows, ""] if rows else []


def _value(name: str, made: type) -> Iterator[str]:
    yield f"### {name}\n"
    yield _prose(made)
    yield from _fields_table(made, with_defaults=True)
    yield from _properties(made)
    for method, function in vars(made).items():
        if inspect.isfunction(function) and method[0] != "_":
            yield from _callable(f"{name}.{method}", function, level=4)


def _callable(name: str, function: Callable[..., Any], *, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}\n"
    yield _signature(name, function)
    yield _prose(function)


def _signature(name: str, function: Callable[..., Any]) -> str:
    """Return how a function is called, as its source has it."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    awaited = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    if any(ast.unparse(mark).endswith("contextmanager") for mark in node.decorator_list):
        awaited = ""
    parameters = list(_parameters(node.args))
    returned = f" -> {ast.unparse(node.returns)}" if node.returns and node.name[0] != "_" else ""
    if node.name in SPECIAL and node.returns:
        returned = f" -> {ast.unparse(node.returns)}"
    head = f"{awaited}{name.rpartition('.')[2]}"
    line = f"{head}({', '.join(parameters)}){returned}"
    if len(line) > _WIDTH:
        line = f"{head}(\n    " + ",\n    ".join(parameters) + f",\n){returned}"
    return f"```py\n{line}\n```\n"


def _parameters(given: ast.arguments) -> Iterator[str]:
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    for argument, default in zip(positional, defaults, strict=True):
        if argument.arg not in ("self", "cls"):
            yield _parameter(argument, default)
    if given.kwonlyargs:
        yield f"*{ast.unparse(given.vararg)}" if given.vararg else "*"
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if given.kwarg:
        yield f"**{ast.unparse(given.kwarg)}"


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(argument) + ("" if default is None else f" = {ast.unparse(default)}")


def _fields_table(made: type, *, with_defaults: bool) -> Iterator[str]:
    described = _described(made)
    types = _annotations(made)
    defaults = _defaults(made) if with_defaults else {}
    yield "| Name | Type | Default | Meaning |" if with_defaults else "| Name | Type | Meaning |"
    yield "| --- | --- | --- | --- |" if with_defaults else "| --- | --- | --- |"
    for name, kind in types.items():
        cells = [f"`{name}`", f"`{_cell(kind)}`"]
        cells += [defaults[name]] if with_defaults else []
        yield f"| {' | '.join([*cells, _cell(described.get(name, ''))])} |"
    yield ""


def _defaults(made: type) -> dict[str, str]:
    found = {}
    for field in dataclasses.fields(made):
        if field.default is not dataclasses.MISSING:
            value = f"{field.default:#o}" if field.name == "mode" else repr(field.default)
            found[field.name] = f"`{value}`"
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = "a new id" if field.name == "id" else "empty"
        else:
            found[field.name] = "required"
    return found


def _annotations(made: type) -> dict[str, str]:
    body = _body(made)
    return {node.target.id: ast.unparse(node.annotation) for node in body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}  # fmt: skip


def _described(made: type) -> dict[str, str]:
    """Return what stands as text below each attribute, in the class or in its __init__."""
    body = _body(made)
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            body = [*body, *node.body]
    found = {}
    for node, after in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign) and _is_text(after):
            found[ast.unparse(node.target).removeprefix("self.")] = _plain(_text(after))
    return found


def _body(made: type) -> list[ast.stmt]:
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(made))).body
    assert isinstance(node, ast.ClassDef)
    return node.body


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _text(node: ast.stmt) -> str:
    assert isinstance(node, ast.Expr)
    return str(ast.literal_eval(node.value))


def _prose(made: object) -> str:
    text = _markup(inspect.getdoc(made) or "")
    return f"{text}\n"


def _inline(made: object) -> str:
    return _plain(inspect.getdoc(made) or "")


def _sentence(made: object) -> str:
    return _plain((inspect.getdoc(made) or "").partition("\n\n")[0])


def _plain(text: str) -> str:
    return " ".join(_markup(inspect.cleandoc(text)).split())


def _markup(text: str) -> str:
    """Turn what docstrings are written in into Markdown; links come later."""
    return _ROLE.sub(lambda match: f"`{match[1]}`", text).replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _linked(text: str) -> str:
    """Link names that have a heading of their own, outside of code and headings."""
    headings = re.findall(r"^#+ ([A-Z]\w+(?:\.\w+)?)$", text, re.MULTILINE)
    places = {name: name.replace(".", "").lower() for name in headings}

    def link(match: re.Match[str]) -> str:
        *_, last = parts = match[1].split(".")
        short = ".".join(part for part in parts if part[0].isupper() or part == last)
        return f"[`{short}`](#{places[short]})" if short in places else match[0]

    pieces = re.split(r"(^```.*?^```$|^#[^\n]*$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(
        piece if number % 2 else re.sub(r"`([A-Za-z_][\w.]*)`", link, piece)
        for number, piece in enumerate(pieces)
    )


def main() -> int:
    """Write the page or compare it."""
    if "--check" in sys.argv:
        return 0 if PAGE.exists() and PAGE.read_text() == page() else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
