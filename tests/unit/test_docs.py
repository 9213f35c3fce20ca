"""What can be known of the documentation without running it."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.pages import Block, Reader, WrongPageError, agrees, blocks, commands

import wherry
from wherry import config
from wherry.cli.program import ROOT
from wherry.cli.serve_options import KEYS
from wherry.engines import SCHEMES
from wherry.errors import UsageError

if TYPE_CHECKING:
    from wherry.cli.groups import Group
    from wherry.cli.parsing import Parser

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
PAGES = sorted(
    [TOP / "README.md", TOP / "CONTRIBUTING.md", *DOCS.rglob("*.md"),
     *(TOP / "examples").rglob("*.md")]
)  # fmt: skip
NAMES = [str(page.relative_to(TOP)) for page in PAGES]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCES = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_MACHINE_PATHS = re.compile(r"/(?:work|root/\w|home/\w+/\w|usr/lib/python3\.\d+)")
_VARIABLE = re.compile(r"(?<![A-Za-z_.])[A-Z][A-Z]+(?:_[A-Z]+)*_[A-Z]+(?![A-Za-z_])")
WRITTEN_LATER = {"docs/performance.md"}
"""Pages that come with what they are about."""

every_page = pytest.mark.parametrize("name", NAMES)


def text_of(name: str) -> str:
    return (TOP / name).read_text()


@every_page
def test_links_lead_to_pages_and_headings_that_exist(name: str) -> None:
    page = TOP / name
    for target in _LINK.findall(_FENCES.sub("", page.read_text())):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() and str(there.relative_to(TOP)) in WRITTEN_LATER:
            continue
        assert there.exists(), f"{name} links to {target}"
        assert not anchor or anchor in anchors(there), f"{name} links to {target}"


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the forges make them."""
    headings = re.findall(r"^#+ (.*)$", _FENCES.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")
            for heading in headings}  # fmt: skip


@every_page
def test_programs_are_python(name: str) -> None:
    for block in blocks(text_of(name)):
        if block.lang == "python":
            compile(python_of(block), f"{name}:{block.line}", "exec")


def python_of(block: Block) -> str:
    """Return a program, or what is typed at a prompt."""
    if not block.text.startswith(">>>"):
        return block.text
    lines = (line for line in block.text.splitlines() if line[:4] in (">>> ", "... ", "..."))
    return "\n".join(line[4:] for line in lines)


@every_page
def test_no_page_names_a_path_of_the_machine_it_was_written_on(name: str) -> None:
    assert _MACHINE_PATHS.search(text_of(name)) is None


@every_page
def test_commands_are_ones_that_the_parsers_know(name: str) -> None:
    for block in blocks(text_of(name)):
        if block.lang in ("console", "sh"):
            for words in calls_of(block):
                check(words)


@every_page
def test_options_in_the_text_are_ones_that_some_command_has(name: str) -> None:
    known = {option for parser in parsers() for action in parser.options()
             for option in action.option_strings}  # fmt: skip
    text = _FENCES.sub("", text_of(name))
    for sentence in re.findall(r"`(wherry [^`]+)`", text):
        for option in re.findall(r"(?<!\S)(--[a-z][\w-]*)", sentence):
            assert option in known | {"--help", "--check"}, f"{name}: {sentence}"


def calls_of(block: Block) -> Iterator[list[str]]:
    """Yield the words after `wherry` of every call in a block."""
    if block.lang == "sh":
        lines = block.text.splitlines()
    else:
        lines = [command.text for command in commands(block.text)]
    for line in lines:
        cleaned = re.sub(r"\\\n|(?<=\s)\d(?=>)", " ", line).split("<<")[0]
        lexer = shlex.shlex(cleaned, posix=True, punctuation_chars="|&;<>()")
        lexer.whitespace_split = True
        lexer.commenters = ""
        yield from _calls(list(lexer))


def _calls(words: list[str]) -> Iterator[list[str]]:
    for at, word in enumerate(words):
        before = words[at - 1] if at else "|"
        if word == "wherry" and (before in {"|", "||", "&&", ";", "(", "until", "Delegate=yes"}):
            rest = words[at + 1 :]
            ends = [i for i, each in enumerate(rest) if re.fullmatch(r"[|&;<>()]+", each)]
            yield rest[: ends[0]] if ends else rest


def check(words: list[str]) -> None:
    """Fail unless a command's words name a subcommand and options that it has."""
    group: Group = ROOT
    while words and words[0] in group.groups:
        group, words = group.group(words[0]), words[1:]
    while words and words[0].startswith("--engine"):
        words = words[2:]
    words = group.completed(words)
    assert words, "a group of commands is no command"
    assert words[0] in group.names(), words
    try:
        group.load(words[0]).parser().parse([word.removesuffix("…") for word in words[1:]])
    except UsageError as error:
        pytest.fail(f"wherry {' '.join(words)}: {error}")


def parsers(group: Group = ROOT) -> Iterator[Parser]:
    for name in group.names():
        if name in group.groups:
            yield from parsers(group.group(name))
        else:
            yield group.load(name).parser()


@pytest.mark.parametrize("script", ["python_reference", "cli_reference", "http_reference"])
def test_the_references_are_what_the_code_says(script: str) -> None:
    done = subprocess.run(
        [sys.executable, TOP / "scripts" / f"{script}.py", "--check"], check=False
    )
    assert done.returncode == 0, f"run `python scripts/{script}.py`"


def test_the_python_reference_has_every_public_name() -> None:
    page = text_of("docs/reference/python.md")
    for name in wherry.__all__:
        assert re.search(rf"wherry\.{name}\b|^### {name}$", page, re.MULTILINE), name


def test_the_configuration_page_has_every_variable_that_is_read() -> None:
    assert read_variables() <= set(
        re.findall(r"`(\w+)`", text_of("docs/reference/configuration.md"))
    )


def test_no_page_names_a_variable_of_ours_that_is_not_read() -> None:
    for name in NAMES:
        for variable in re.findall(r"\bWHERRY_[A-Z_]+\b", text_of(name)):
            assert variable in read_variables() | {"WHERRY_REQUIRE"}, f"{name}: {variable}"


@cache
def read_variables() -> set[str]:
    """Return the names of variables in the one module that reads the environment."""
    tree = ast.parse(Path(config.__file__).read_text())
    strings = {node.value for node in ast.walk(tree)
               if isinstance(node, ast.Constant) and isinstance(node.value, str)}  # fmt: skip
    return {"HOME"} | {text for text in strings if _VARIABLE.fullmatch(text)}


def test_the_configuration_page_has_every_key_of_the_serve_table() -> None:
    page = text_of("docs/reference/configuration.md")
    rows = "\n".join(f"| `{choice.key}` | {choice.help} |" for choice in KEYS.values())
    assert rows in page, f"it is to have this table:\n{rows}"


def test_the_configuration_page_has_every_engine() -> None:
    page = text_of("docs/reference/configuration.md")
    for scheme in SCHEMES:
        assert f"`{scheme}" in page, scheme


OF_PROGRAMS = ("chown: ", "su: ", "No space left", "Permission denied", "Cannot fork",
               "Resource temporarily")  # fmt: skip
"""Messages that are not ours, but the program's."""


def test_the_messages_in_troubleshooting_are_those_of_the_code() -> None:
    headings = re.findall(r"^### (.*`.*)$", text_of("docs/troubleshooting.md"), re.MULTILINE)
    messages = [text for heading in headings for text in re.findall(r"`([^`]+)`", heading)]
    ours = [text for text in messages if not text.startswith(OF_PROGRAMS)]
    assert len(ours) > 20
    for message in ours:
        pattern = ".*".join(re.escape(part.strip()) for part in message.split("…"))
        assert any(re.search(pattern, text, re.DOTALL) for text in texts_of_the_code()), message


@cache
def texts_of_the_code() -> list[str]:
    """Return every text in the code, with … in place of what is filled in."""
    found = []
    for path in (TOP / "src" / "wherry").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "…"
                         for part in node.values]  # fmt: skip
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_how_to_pages_are_all_in_the_table_of_contents() -> None:
    contents = text_of("docs/how-to/README.md")
    for page in (DOCS / "how-to").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in contents, page.name


def test_every_public_page_has_one_title_and_short_lines() -> None:
    for name in NAMES:
        text = _FENCES.sub("", text_of(name))
        assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1, name


@pytest.mark.parametrize(
    ("said", "expected", "right"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\n", False),
        ("id 3f2a done\n", "id … done\n", True),
        ("id 3f2a failed\n", "id … done\n", False),
        ("a\nx\ny\nb\n", "a\n…\nb\n", True),
        ("a\nb\n", "a\n…\nb\n", True),
        ("", "", True),
        ("something\n", "", False),
        ("1.5 (x)\n", "1.5 (x)\n", True),
    ],
)
def test_output_agrees_with_a_page_up_to_what_is_left_open(
    said: str, expected: str, right: bool
) -> None:
    assert agrees(said, expected) is right


LIE = """\
```console
$ x=1
$ echo $x; false
1
$ echo $?
1
```

<!-- not run: there is no such program -->
```console
$ no-such-program
```

```python
>>> 6 * 7
42
```

```python
print("a program")
```

```text
{}
```
"""


def test_a_page_is_run_to_its_end_and_a_lie_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(LIE.format("a program"))
    reader = Reader(tmp_path)
    reader.read(page)
    assert reader.done == 3
    page.write_text(LIE.format("another"))
    with pytest.raises(WrongPageError, match="a program"):
        Reader(tmp_path).read(page)
    page.write_text(LIE.replace("42", "43"))
    with pytest.raises(WrongPageError, match="Got"):
        Reader(tmp_path).read(page)
    page.write_text(LIE.replace("echo $x;", "echo $x$x;"))
    with pytest.raises(WrongPageError, match="11"):
        Reader(tmp_path).read(page)
