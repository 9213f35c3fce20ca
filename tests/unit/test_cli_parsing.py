"""Options as docker reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.cli import call_options
from wherry.cli.ending import Ended
from wherry.cli.parsing import Operand, Parser
from wherry.cli.run import parser as run_parser
from wherry.errors import Unsupported, UsageError


def small(*operands: Operand, options_first: bool = False) -> Parser:
    made = Parser("try", summary="Try", operands=operands, options_first=options_first)
    made.flag("-a", "--all", help="")
    made.flag("-b", "--brief", help="")
    made.value("-n", "--number", metavar="NUMBER", help="")
    made.values("-e", "--env", metavar="NAME", help="")
    return made


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], (False, False, None, [])),
        (["-a"], (True, False, None, [])),
        (["-ab"], (True, True, None, [])),
        (["-abn5"], (True, True, "5", [])),
        (["-abn", "5"], (True, True, "5", [])),
        (["-n=5"], (False, False, "5", [])),
        (["--number=5"], (False, False, "5", [])),
        (["--number", "5"], (False, False, "5", [])),
        (["--number", "-5"], (False, False, "-5", [])),
        (["--number="], (False, False, "", [])),
        (["-n", "1", "-n", "2"], (False, False, "2", [])),
        (["-e", "x", "--env=y=z", "-ew"], (False, False, None, ["x", "y=z", "w"])),
        (["-e", "--all"], (False, False, None, ["--all"])),
        (["--all=true"], (True, False, None, [])),
        (["--all=false"], (False, False, None, [])),
        (["-a=false", "-b=1"], (False, True, None, [])),
    ],
)
def test_options_in_all_their_spellings(words: list[str], expected: tuple[object, ...]) -> None:
    found = small().parse(words)
    assert (found.all, found.brief, found.number, found.env) == expected


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--alll"], "there is no option '--alll'; did you mean '--all'?"),
        (["-x"], "there is no option '-x'"),
        (["-ax"], "there is no option '-x'"),
        (["--number"], "option --number needs a value: NUMBER"),
        (["-n"], "option -n needs a value: NUMBER"),
        (["--all=maybe"], "option --all: 'maybe' must be true or false"),
        (["--al"], "there is no option '--al'"),
        (["word"], "'word' is one word too many"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        small().parse(words)
    assert says in str(raised.value)
    assert "See `wherry try --help`." in str(raised.value)


def test_operands_and_options_may_be_mixed() -> None:
    found = small(Operand("NAME"), Operand("FILE", many=True)).parse(["x", "-a", "y", "--", "-b"])
    assert (found.name, found.file, found.all, found.brief) == ("x", ["y", "-b"], True, False)


def test_missing_operands_are_named_and_optional_ones_are_none() -> None:
    with pytest.raises(UsageError, match="NAME is missing"):
        small(Operand("NAME")).parse(["-a"])
    with pytest.raises(UsageError, match="FILE is missing"):
        small(Operand("FILE", many=True)).parse([])
    assert small(Operand("NAME", optional=True)).parse([]).name is None
    assert small(Operand("ARG", optional=True, many=True)).parse([]).arg == []


def test_a_dash_alone_is_an_operand() -> None:
    assert small(Operand("FILE")).parse(["-"]).file == "-"


WORDS = st.lists(
    st.one_of(st.sampled_from(["--", "-", "-e", "--help", "-h", "--memory"]), st.text())
)


@given(WORDS)
def test_whatever_follows_the_image_is_the_programs(words: list[str]) -> None:
    found = run_parser().parse(["-e", "A=1", "busybox", *words])
    assert (found.image, found.arg, found.env) == ("busybox", words, ["A=1"])


@given(WORDS)
def test_a_double_dash_before_the_image_changes_nothing(words: list[str]) -> None:
    found = run_parser().parse(["--", "busybox", *words])
    assert (found.image, found.arg) == ("busybox", words)


@given(st.text())
def test_any_text_can_be_a_value(text: str) -> None:
    found = run_parser().parse(["-e", text, "--name", text, f"-w={text}", "busybox"])
    assert (found.env, found.name, found.workdir) == ([text], text, text)


@pytest.mark.parametrize("word", ["-t", "-it", "--tty", "-d", "--detach", "-p", "--privileged"])
def test_dockers_options_that_we_lack_say_what_to_do_instead(word: str) -> None:
    with pytest.raises(Unsupported):
        run_parser().parse([word, "busybox"])


def test_help_is_shown_wherever_it_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["-h"], ["-e", "x", "--help", "busybox"]):
        with pytest.raises(Ended) as ended:
            run_parser().parse(words)
        assert ended.value.code == 0
        assert capfd.readouterr().out.startswith("Usage: wherry run [OPTIONS] IMAGE [ARG…]\n")


def test_options_become_the_librarys() -> None:
    words = """-e A=1 -e HOME --env-file vars -v ./a:/a:ro --mount type=tmpfs,dst=/t --tmpfs /u
        -w /w -u me -m 1g --cpus 1.5 --pids-limit 9 --network host --entrypoint sh --name n
        --hostname h -l k=v --pull never --platform arm64 --read-only --secret s=f
        --secret id=t,src=g --file in:/in --collect /out:dir --timeout 2s --tmp-size 5m
        --stop-signal INT --stdout-limit 1k busybox x"""
    assert call_options.options_of(run_parser().parse(words.split())) == {
        "env": ["A=1", "HOME"],
        "env_file": ["vars"],
        "mounts": ["./a:/a:ro", "type=tmpfs,dst=/t"],
        "tmpfs": ["/u"],
        "workdir": "/w",
        "user": "me",
        "memory": "1g",
        "cpus": 1.5,
        "pids": 9,
        "network": "host",
        "entrypoint": "sh",
        "name": "n",
        "hostname": "h",
        "labels": ["k=v"],
        "pull": "never",
        "platform": "arm64",
        "read_only": True,
        "secrets": {"s": "f", "t": "g"},
        "files": {"/in": "in"},
        "collect": {"/out": "dir"},
        "timeout": "2s",
        "tmp": "5m",
        "stop_signal": "INT",
        "stdout_limit": "1k",
    }


def test_without_options_nothing_is_said_to_the_library() -> None:
    assert call_options.options_of(run_parser().parse(["busybox"])) == {}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--secret", "x"], "--secret: 'x' must be NAME=FILE"),
        (["--secret", "id=x"], "--secret: 'id=x' must be NAME=FILE"),
        (["--secret", "=f"], "--secret: '=f' must be NAME=FILE"),
        (["--file", "x"], "--file: 'x' must be SOURCE:TARGET"),
        (["--file", ":/x"], "--file: ':/x' must be SOURCE:TARGET"),
        (["--file", "x:y"], "--file: 'x:y' must be SOURCE:TARGET"),
        (["--collect", "/x"], "--collect: '/x' must be PATH:DIR"),
        (["--collect", "x:y"], "--collect: 'x:y' must be PATH:DIR"),
        (["--cpus", "x"], "--cpus: 'x' must be a number"),
        (["--pids-limit", "-1"], "--pids-limit: '-1' must be a whole number from 1"),
    ],
)
def test_values_that_cannot_be_right_are_named(words: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call_options.options_of(run_parser().parse([*words, "busybox"]))
