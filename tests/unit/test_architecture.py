"""The arrows of the architecture, read from the source itself: imports point down only."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "wherry"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From the bottom up. A module imports from its own area and from the levels below it; areas of
# one level do not know each other.
LEVELS = (
    ("_version", "errors"),
    ("units", "names", "config"),
    ("models",),
    ("options", "wire", "engines.base"),
    ("streams",),
    ("images", "wrappers", "process", "pipeline"),
    ("engines",),  # but for the protocol, which is further down
    ("client",),
    ("sync",),
    ("funker",),
    ("functions",),
    ("service",),
    ("calls",),
    ("web",),
    ("triggers", "remote", "proxy", "ui", "testing"),
    ("server",),
    ("",),  # wherry itself: the public names, each loaded when it is asked for
    ("cli",),
    ("__main__",),
)
RANK = {area: rank for rank, areas in enumerate(LEVELS) for area in areas}

ENGINES = ("memory", "local", "docker", "remote")  # chosen by the table of schemes alone

# Arrows that point down, or stay on their level, and are still wrong.
FORBIDDEN = (
    ("triggers", "engines"),  # a trigger holds a client and nothing below it
    ("proxy", "functions"),  # the proxy knows nothing of functions
    ("proxy", "client"),
    ("engines", "wrappers"),  # wrappers go around engines, engines know none
    *((user, f"engines.{name}") for name in ENGINES for user in ("client", "sync")),
    *((f"engines.{one}", f"engines.{other}") for one, other in permutations(ENGINES, 2)),
)

# An error names the result it carries, for the type checker only.
TYPES_ONLY = {("errors", "models")}

READS_ENVIRONMENT = {"config.py"}
PRINTS_OR_EXITS = {"cli", "__main__.py"}


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file once; nobody changes what comes of it."""
    return ast.parse(path.read_text())


@cache
def nodes_of(tree: ast.AST) -> tuple[ast.AST, ...]:
    """Walk a tree once."""
    return tuple(ast.walk(tree))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def area_of(module: str) -> str:
    """Return the area a module is in: the longest prefix of its name that LEVELS knows."""
    if module == "":
        return ""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (area := ".".join(parts[:length])) in RANK:
            return area
    raise AssertionError(f"wherry.{module} has no place in LEVELS: which level is it on?")


def imports(tree: ast.AST, module: str, *, package: bool) -> Iterator[tuple[int, str]]:
    """Yield (line, module of wherry) for every import, those inside of functions included."""
    for node in nodes_of(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = f"wherry.{module}".rstrip(".").split(".")
                above = here[: len(here) - node.level + package]
                base = ".".join([*above, base]).rstrip(".")
            names = [submodule(base, alias.name) for alias in node.names]
        elif isinstance(node, ast.Call) and called(node) in {"import_module", "__import__"}:
            names = [str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)]
        else:
            continue
        for name in names:
            if name == "wherry" or name.startswith("wherry."):
                yield node.lineno, name.removeprefix("wherry").removeprefix(".")


def submodule(base: str, name: str) -> str:
    """Return the module that ``from base import name`` really reaches."""
    path = PACKAGE.parent.joinpath(*base.split("."), name)
    return f"{base}.{name}" if path.is_dir() or path.with_suffix(".py").exists() else base


def called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def wrong_arrows(path: Path) -> Iterator[str]:
    module = name_of(path)
    area = area_of(module)
    tree = tree_of(path)
    for line, target in imports(tree, module, package=path.name == "__init__.py"):
        other = area_of(target)
        up = other != area and RANK[other] >= RANK[area] and (area, other) not in TYPES_ONLY
        if up or any(within(module, a) and within(target, b) for a, b in FORBIDDEN):
            yield f"{path.relative_to(ROOT)}:{line}: {area or 'wherry'} imports wherry.{target}"


def within(module: str, of: str) -> bool:
    return module == of or module.startswith(f"{of}.")


def reads(tree: ast.AST, names: set[str]) -> Iterator[int]:
    """Yield the line of every use of the dotted names, however they were imported."""
    last = {name.rpartition(".")[2] for name in names}
    for node in nodes_of(tree):
        if isinstance(node, ast.Attribute):
            found = {ast.unparse(node)} if node.attr in last else set()
        elif isinstance(node, ast.ImportFrom):
            found = {f"{node.module}.{alias.name}" for alias in node.names}
        else:
            continue
        if found & names:
            yield node.lineno


def calls(tree: ast.AST, names: set[str]) -> Iterator[int]:
    """Yield the line of every call or raise of the plain names."""
    for node in nodes_of(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) | ast.Raise(exc=ast.Name(id=name)):
                if name in names:
                    yield node.lineno


def scan(look: Callable[[ast.AST], Iterator[int]], *, allowed: set[str]) -> list[str]:
    """Return the places that ``look`` finds outside of the allowed files and folders."""
    return [
        f"{path.relative_to(ROOT)}:{line}"
        for path in MODULES
        if not allowed & {str(path.relative_to(PACKAGE)), path.relative_to(PACKAGE).parts[0]}
        for line in look(tree_of(path))
    ]


def positionals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if getattr(node, "name", "_").startswith("_"):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from public_functions(node.body)


def none(found: list[str]) -> None:
    assert not found, "\n" + "\n".join(found)


def text_files() -> Iterator[Path]:
    for folder in ("src", "tests", "bench", "docs", "examples", "scripts", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in {".py", ".c", ".md", ".toml", ".sh", ".html", ".js", ""}:
                yield path
    yield from (path for path in ROOT.glob("*") if path.suffix in {".py", ".md", ".toml", ".txt"})
    yield from (ROOT / "Makefile", ROOT / ".gitignore")


def test_imports_point_down_only() -> None:
    none([line for path in MODULES for line in wrong_arrows(path)])


def test_only_config_reads_the_environment() -> None:
    names = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv"}
    none(scan(lambda tree: reads(tree, names), allowed=READS_ENVIRONMENT))


def test_only_the_command_line_prints_or_exits() -> None:
    plain = {"print", "exit", "quit", "input", "SystemExit"}
    dotted = {"sys.exit", "sys.stdout", "sys.stderr"}
    none(scan(lambda tree: calls(tree, plain), allowed=PRINTS_OR_EXITS))
    none(scan(lambda tree: reads(tree, dotted), allowed=PRINTS_OR_EXITS))


def test_no_file_is_longer_than_400_lines() -> None:
    files = [*MODULES, *(p for d in ("tests", "bench") for p in (ROOT / d).rglob("*.py"))]
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in files}
    none([f"{path}: {count} lines" for path, count in lines.items() if count > 400])


def test_public_functions_take_at_most_two_positional_parameters() -> None:
    many = [
        f"{path.relative_to(ROOT)}:{function.lineno}: {function.name}"
        for path in MODULES
        for function in public_functions(tree_of(path).body)
        if positionals(function) > 2
    ]
    none(many)


def test_no_file_names_a_path_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.})\]])/(?:wor[k]|far[m]|roo[t])/|[.]librar[y]\b")
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in text_files()
        if path.is_file()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    none(hits)


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-dev.txt"])
def test_every_pinned_package_has_hashes_and_no_address(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    requirements = re.findall(r"^\S.*\n(?:\s+.*\n)*", text, flags=re.MULTILINE)
    assert requirements
    assert [r for r in requirements if "==" not in r or "--hash=sha256:" not in r] == []


def test_what_pyproject_asks_for_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        "constraints.txt": project["dependencies"],
        "constraints-dev.txt": project["optional-dependencies"]["dev"],
    }
    run, dev = (
        set(re.findall(r"^([a-z0-9-]+)==", (ROOT / name).read_text(), flags=re.MULTILINE))
        for name in wanted
    )
    names = [[re.split(r"[<>=~!\[; ]", line)[0] for line in lines] for lines in wanted.values()]
    assert set(names[0]) - run == set()
    assert set(names[1]) - run - dev == set()


@pytest.mark.parametrize(
    ("area", "source", "wrong"),
    [
        ("triggers/http.py", "from wherry.engines.local import engine", True),
        ("triggers/http.py", "def serve():\n    import wherry.engines.base", True),
        ("engines/local/engine.py", "from wherry.triggers import http", True),
        ("wrappers/limit.py", "from ..client import AsyncClient", True),
        ("errors.py", "from wherry.streams import source", True),
        ("engines/local/engine.py", "from wherry.engines.docker import api", True),
        ("client.py", "import importlib; importlib.import_module('wherry.engines.local')", True),
        ("client.py", "from wherry.engines import connect", False),
        ("wrappers/limit.py", "from wherry.engines.base import Engine", False),
        ("engines/local/engine.py", "from wherry import images", False),
        ("cli/run.py", "from wherry.client import AsyncClient", False),
    ],
)
def test_the_scan_itself_tells_wrong_arrows_from_right_ones(
    area: str, source: str, wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src" / "wherry"
    for name in ("images", "triggers", "engines"):
        (package / name).mkdir(parents=True)
    path = package / area
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    monkeypatch.setitem(globals(), "PACKAGE", package)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert bool(list(wrong_arrows(path))) is wrong
