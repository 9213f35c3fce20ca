"""`wherry map`: a container for each file."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from tests.support.shell import Shell


def test_each_file_becomes_one(sh: Shell) -> None:
    for name in ("a.txt", "b.txt", "c d.txt"):
        sh.file(f"in/{name}", name.encode())
    script = "ls in/*.txt | wherry map -P 2 -o out --suffix .up busybox tr a-z A-Z"
    done = sh.run(script)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    found = {path.name: path.read_text() for path in (sh.home / "out").iterdir()}
    assert found == {"a.up": "A.TXT", "b.up": "B.TXT", "c d.up": "C D.TXT"}


def test_names_with_line_ends_are_listed_with_nul(sh: Shell) -> None:
    sh.file("odd/new\nline", b"x")
    sh.out("find odd -type f -print0 | wherry map -0 -o odd-out busybox cat")
    assert (sh.home / "odd-out" / "new\nline").read_bytes() == b"x"


def test_what_failed_is_summed_up_and_leaves_no_output(sh: Shell) -> None:
    for number in range(4):
        sh.file(f"some/{number}", f"{number}\n".encode())
    program = "read n; echo said $n >&2; echo out; [ $n != 2 ] || exit 9"
    script = f"(ls some/*; echo some/none) | wherry map -o some-out busybox sh -c '{program}'"
    done = sh.run(script)
    assert done.returncode == 1
    said = done.stderr.decode().splitlines()
    assert "some/3: said 3" in said
    assert "wherry map: some/2: returned non-zero exit status 9" in said
    assert "wherry map: some/none: some/none: No such file or directory" in said
    assert said[-1] == "wherry map: 2 of 5 failed"
    assert sorted(path.name for path in (sh.home / "some-out").iterdir()) == ["0", "1", "3"]


def test_two_inputs_for_one_output_are_refused_before_anything_runs(sh: Shell) -> None:
    done = sh.run("printf 'x/a\\ny/a\\n' | wherry map -o never busybox cat")
    assert done.returncode == 2
    assert b"'x/a' and 'y/a' would both be written to 'never/a'" in done.stderr
    assert not (sh.home / "never").exists()


def test_an_image_that_is_not_there_is_told_once(sh: Shell) -> None:
    sh.file("one", b"")
    done = sh.run("echo one | wherry map --pull never -o x nosuchimage true")
    assert done.returncode == 125
    assert done.stderr.count(b"nosuchimage") == 2


def test_an_empty_list_is_done_at_once(sh: Shell) -> None:
    assert sh.run("wherry map -o x busybox true").returncode == 0


def test_no_more_at_one_time_than_allowed(sh: Shell) -> None:
    for number in range(6):
        sh.file(f"many/{number}", b"")
    with sh.start("bash -c 'ls many/* | wherry map -P 2 -o many-out busybox sleep 0.5'") as run:
        most = 0
        while run.poll() is None:
            most = max(most, len(sh.running()))
    assert most == 2


def test_json_lines_tell_each_call(sh: Shell) -> None:
    sh.file("js/a", b"x")
    found = json.loads(sh.out("echo js/a | wherry map --json -o js-out busybox cat"))
    assert found == {
        "input": "js/a",
        "output": "js-out/a",
        "exit_code": 0,
        "reason": "exited",
        "problem": None,
        "stderr": "",
    }


def test_a_signal_ends_all_calls_and_leaves_no_half_file(sh: Shell) -> None:
    for number in range(3):
        sh.file(f"long/{number}", b"")
    list_ = "\n".join(f"long/{number}" for number in range(3)).encode()
    with sh.start(
        "wherry map -P 3 -o long-out busybox sh -c 'echo half; sleep 60'", stdin=subprocess.PIPE
    ) as run:
        assert run.stdin
        run.stdin.write(list_)
        run.stdin.close()
        deadline = time.monotonic() + 20
        while len(sh.running()) < 3:
            assert time.monotonic() < deadline
        run.send_signal(signal.SIGTERM)
    assert run.returncode == -signal.SIGTERM
    assert sh.running() == []
    assert list((sh.home / "long-out").iterdir()) == []


def test_a_terminal_shows_a_bar(sh: Shell) -> None:
    for number in range(3):
        sh.file(f"bar/{number}", b"")
    with Terminal(sh, "ls bar/* | wherry map -o bar-out busybox true") as terminal:
        assert terminal.wait() == 0
        assert b"3/3" in terminal.shown
