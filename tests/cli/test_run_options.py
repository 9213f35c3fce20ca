"""Docker's options, as `wherry run` keeps their promises."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.shell import Shell


def test_arguments_pass_untouched_whatever_they_look_like(sh: Shell) -> None:
    words = ["--memory", "-e", "--", "-", "", "a b", "--help", "$HOME", "*", "é", "-x=1"]
    quoted = " ".join(f"'{word}'" for word in words)
    script = f'wherry run busybox sh -c \'for w in "$@"; do echo "[$w]"; done\' sh {quoted}'
    assert sh.out(script).splitlines() == [f"[{word}]" for word in words]


def test_a_double_dash_before_the_image_ends_the_options(sh: Shell) -> None:
    assert sh.out("wherry run -- busybox echo -- x") == "-- x\n"


def test_the_images_own_command_runs_when_nothing_is_given(sh: Shell) -> None:
    assert sh.out("echo 'echo from sh' | wherry run busybox") == "from sh\n"


def test_the_environment_is_what_was_given(sh: Shell) -> None:
    sh.file("vars", b"# a comment\nFROM_FILE=1\nBOTH=file\nHANDED\n")
    script = "wherry run --env-file vars -e BOTH=option -eA=x=y --env=EMPTY= -e HANDED -e UNSET"
    out = sh.out(f"{script} busybox env", HANDED="ours", OTHER="not theirs").splitlines()
    assert {"FROM_FILE=1", "BOTH=option", "A=x=y", "EMPTY=", "HANDED=ours"} <= set(out)
    assert not [line for line in out if line.startswith(("OTHER", "UNSET", "WHERRY"))]


def test_working_directory_user_and_host_name(sh: Shell) -> None:
    script = (
        "wherry run -w /var/tmp -u ferryman --hostname boat busybox sh -c 'pwd; id -u; hostname'"
    )
    assert sh.out(script).split() == ["/var/tmp", "1000", "boat"]


def test_a_volume_is_read_only_unless_it_says_rw(sh: Shell) -> None:
    sh.file("shared/in", b"from outside\n")
    (sh.home / "shared").chmod(0o777)
    script = "cat /mnt/in; echo from inside > /mnt/out"
    assert sh.out(f"wherry run -v ./shared:/mnt:rw busybox sh -c '{script}'") == "from outside\n"
    assert (sh.home / "shared" / "out").read_text() == "from inside\n"
    done = sh.run("wherry run -v $PWD/shared:/mnt busybox touch /mnt/other")
    assert done.returncode == 1
    assert b"Read-only file system" in done.stderr


def test_mount_and_tmpfs(sh: Shell) -> None:
    sh.file("shared/in", b"x")
    options = "--mount type=bind,src=$PWD/shared,dst=/mnt --tmpfs /cache:size=1m"
    script = "cat /mnt/in; df -k /cache | tail -1"
    assert "1024" in sh.out(f"wherry run {options} busybox sh -c '{script}'")


def test_a_secret_is_a_file_that_no_variable_names(sh: Shell) -> None:
    sh.file("token", b"hunter2", mode=0o600)
    for option in ("token=token", "id=token,src=token"):
        script = f"wherry run --secret {option} busybox sh -c 'cat /run/secrets/token; env'"
        out = sh.out(script)
        assert out.startswith("hunter2")
        assert out.count("hunter2") == 1


def test_files_go_in_and_come_out(sh: Shell) -> None:
    sh.file("in.txt", b"text")
    script = "mkdir -p /out/deep; tr a-z A-Z < /in.txt > /out/deep/result; exit 3"
    options = "--file in.txt:/in.txt --collect /out:results"
    assert sh.run(f"wherry run {options} busybox sh -c '{script}'").returncode == 3
    assert (sh.home / "results" / "deep" / "result").read_text() == "TEXT"


def test_a_read_only_root_cannot_be_written(sh: Shell) -> None:
    done = sh.run("wherry run --read-only busybox sh -c 'touch /tmp/ok && touch /etc/no'")
    assert done.returncode == 1
    assert b"/etc/no: Read-only file system" in done.stderr


def test_an_entrypoint_takes_the_arguments(sh: Shell) -> None:
    assert sh.out("wherry run --entrypoint echo busybox -n hi") == "hi"
    assert sh.out("wherry run --entrypoint '' busybox echo hi") == "hi\n"


def test_what_docker_takes_is_taken(sh: Shell) -> None:
    script = "wherry run --rm -i --pull=missing --network=none --read-only=false busybox echo hi"
    assert sh.out(script) == "hi\n"


def test_engine_and_data_directory_may_stand_first(sh: Shell) -> None:
    script = "wherry --engine local --data-dir $WHERRY_DATA_DIR run busybox echo hi"
    assert sh.out(script, WHERRY_DATA_DIR=str(sh.home / "data")) == "hi\n"
    other = sh.run("wherry run --data-dir empty --pull never busybox true")
    assert other.returncode == 125


def test_json_says_all_about_a_call(sh: Shell) -> None:
    script = "cat; echo err >&2; exit 3"
    done = sh.run(f"echo in | wherry run --json --name job busybox sh -c '{script}'")
    assert (done.returncode, done.stderr) == (3, b"")
    found = json.loads(done.stdout)
    assert 0 < found.pop("duration") < 30
    assert len(found.pop("id")) == 32
    assert found == {
        "name": "job",
        "image": "busybox",
        "command": ["sh", "-c", script],
        "exit_code": 3,
        "reason": "exited",
        "signal": None,
        "stdout": "in\n",
        "stdout_encoding": "utf-8",
        "stderr": "err\n",
        "stderr_encoding": "utf-8",
        "stderr_truncated": False,
    }


def test_json_holds_what_is_no_text_as_base64(sh: Shell) -> None:
    done = sh.run("wherry run --json busybox cat", stdin=b"\xff\x00")
    found = json.loads(done.stdout)
    assert found["stdout_encoding"] == "base64"
    assert base64.b64decode(found["stdout"]) == b"\xff\x00"


def test_json_tells_signals_and_timeouts(sh: Shell) -> None:
    killed = json.loads(sh.run("wherry run --json busybox sh -c 'kill -SEGV $$'").stdout)
    assert (killed["exit_code"], killed["reason"], killed["signal"]) == (139, "signal", "SIGSEGV")
    late = sh.run("wherry run --json -q --timeout 300ms busybox sleep 60")
    assert json.loads(late.stdout)["reason"] == "timeout"
    assert late.returncode == 124
