"""The table of subcommands: help, mistakes, completion and the reference page."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.cli import help as helping
from wherry.cli import main
from wherry.cli.complete import candidates, joined
from wherry.cli.kill import signal_number
from wherry.cli.mapping import plan
from wherry.cli.printing import age, table
from wherry.cli.program import ROOT
from wherry.errors import UsageError

if TYPE_CHECKING:
    from wherry.cli.groups import Group

PACKAGE = Path(helping.__file__).parent
REPOSITORY = Path(__file__).parents[2]


def all_commands(group: Group = ROOT) -> list[tuple[Group, str]]:
    found = []
    for name in group.names():
        found += all_commands(group.group(name)) if name in group.groups else [(group, name)]
    return found


@pytest.mark.parametrize(("group", "name"), all_commands(), ids=lambda value: str(value)[:20])
def test_every_subcommand_has_help_that_names_it(group: Group, name: str) -> None:
    parser = group.load(name).parser()
    assert parser.prog == f"{group.prog} {name}"
    summaries = [text for commands in group.commands.values() for text in commands.items()]
    assert (name, parser.summary) in summaries
    shown = helping.render(parser, width=80)
    assert shown.startswith(f"Usage: {group.prog} {name}")
    assert all(action.help for action in parser.options())
    assert [line for line in shown.splitlines() if len(line) > 80] == []


def test_every_module_of_a_subcommand_is_in_the_table() -> None:
    names = {name.replace("-", "_") for _, name in all_commands()} | {"complete", "import_"}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if re.search(r"^def parser\(\) -> Parser", text, flags=re.MULTILINE):
            assert path.stem in names, path


def test_help_shows_the_main_job_first(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capfd.readouterr().out
    assert shown.startswith("Usage: wherry run [OPTIONS] IMAGE [ARG…]\n")
    assert len(re.findall(r"^  .*\bwherry (run|map) ", shown, flags=re.MULTILINE)) == 3
    assert main(["help"]) == 0
    assert capfd.readouterr().out == shown


def test_help_of_a_subcommand_is_reached_in_two_ways(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "ls", "--help"]) == 0
    shown = capfd.readouterr().out
    assert main(["help", "image", "ls"]) == 0
    assert capfd.readouterr().out == shown


def test_nothing_asked_for_is_a_usage_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capfd.readouterr()
    assert (out, err.splitlines()[0]) == ("", "Usage: wherry run [OPTIONS] IMAGE [ARG…]")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rn"], "there is no command 'rn'; did you mean 'run'?"),
        (["zzzz"], "there is no command 'zzzz'; there is "),
        (["--verison"], "there is no option '--verison'"),
        (["image", "lss"], "there is no command 'lss'; did you mean 'ls'?"),
        (["import_"], "there is no command 'import_'"),
    ],
)
def test_an_unknown_subcommand_names_the_nearest(
    words: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert says in capfd.readouterr().err


def test_the_help_imports_no_subcommand_and_no_asyncio() -> None:
    script = (
        "import sys; from wherry.cli import main; main(['--help']);"
        "print(sorted(m for m in sys.modules if m.startswith('wherry.')),"
        "*(m in sys.modules for m in ('asyncio', 'argparse', 'dataclasses')), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules = [
        "_version",
        "cli",
        "cli.ending",
        "cli.groups",
        "cli.program",
        "cli.standard",
        "errors",
    ]
    named = [f"wherry.{module}" for module in modules]
    assert done.stderr.strip() == f"{named} False False False"


def test_the_reference_page_is_what_the_parsers_say() -> None:
    script = REPOSITORY / "scripts" / "cli_reference.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run `python scripts/cli_reference.py`"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["re"], ["reap", "remote"]),
        (["nosuch", ""], []),
        (["image", "im"], ["import"]),
        (["run", "--memo"], ["--memory"]),
        (["run", "--network", "p"], ["private"]),
        (["run", "--network=p"], ["--network=private"]),
        (["run", "-v", ""], [":files"]),
        (["run", "--data-dir", ""], [":dirs"]),
        (["run", "--name", ""], []),
        (["run", "-iv", "x:/y", "busybox", "--me"], [":files"]),
        (["image", "from-host", "name", ""], [":commands"]),
        (["image", "load", ""], [":files"]),
        (["image", "tag", "a", "b", ""], []),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_candidates_for_the_last_word(words: list[str], expected: list[str]) -> None:
    assert [text for text, _ in candidates(ROOT, words)] == expected


def test_what_bash_takes_apart_is_put_together() -> None:
    assert joined(["run", "localhost", ":", "5000/x", ":", "1"]) == ["run", "localhost:5000/x:1"]
    assert joined(["run", "--network", "=", "p"]) == ["run", "--network=p"]
    assert joined(["run", "--network", "="]) == ["run", "--network="]
    assert joined(["run", "-e", ""]) == ["run", "-e", ""]


def test_a_table_is_aligned_and_cannot_move_the_cursor() -> None:
    rows = [["NAME", "ID"], ["a\x1b[2J", "x"], ["long name", "y"]]
    assert table(rows) == "NAME       ID\na\\x1b[2J   x\nlong name  y\n"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0s"), (59, "59s"), (61, "1m"), (7200, "2h"), (200_000, "2d")]
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_signals_by_name_and_number() -> None:
    assert [signal_number(text) for text in ("KILL", "SIGTERM", "usr1", "9")] == [9, 15, 10, 9]
    with pytest.raises(UsageError, match="no signal 'TREM'; did you mean 'SIGTERM'"):
        signal_number("TREM")
    with pytest.raises(UsageError, match="no signal '99'"):
        signal_number("99")


def test_outputs_are_named_after_inputs(tmp_path: Path) -> None:
    jobs = plan([Path("a/x.png"), Path("b/y")], out=tmp_path / "out", suffix=".jpg")
    assert [job.target.name for job in jobs] == ["x.jpg", "y.jpg"]
    assert (tmp_path / "out").is_dir()
    with pytest.raises(UsageError, match="would both be written to"):
        plan([Path("a/x.png"), Path("b/x.gif")], out=tmp_path / "new", suffix=".jpg")
    assert not (tmp_path / "new").exists()
