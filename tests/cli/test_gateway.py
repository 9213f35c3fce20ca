"""The commands for deployed functions, against a real `wherry serve` on a unix socket."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.support.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60
SERVE = "wherry serve --no-auth --listen unix:gateway.sock"
DEPLOYED = """
wherry deploy upper --image busybox -- tr a-z A-Z
wherry deploy few --image busybox -- head -c 3
wherry deploy cat --image busybox -- cat
wherry deploy fails --image busybox -- sh -c 'cat; echo why >&2; exit 3'
wherry deploy slow --image busybox --timeout 300ms -- sleep 60
wherry deploy shout --pipe upper,few
"""


@dataclass(frozen=True, kw_only=True)
class Served(Shell):
    """A shell that has a gateway."""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "WHERRY_GATEWAY": f"unix:{self.home}/gateway.sock"}


@pytest.fixture(scope="module")
def sh(place: Shell) -> Iterator[Served]:
    """A shell with a gateway, on which some functions are deployed."""
    with (place.home / "serve.log").open("wb") as log:
        server = place.start(SERVE, stderr=log, stdin=subprocess.DEVNULL)
    served = Served(home=place.home, uid=place.uid)
    try:
        served.out(DEPLOYED)
        yield served
    finally:
        server.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(PATIENCE)
        server.kill()
        server.wait()
    assert place.running() == []


def test_what_is_deployed_is_called_described_and_listed(sh: Served) -> None:
    assert sh.out("echo hello | wherry invoke upper") == "HELLO\n"
    assert set(sh.out("wherry ls -q").split()) >= {"upper", "few", "shout"}
    found = json.loads(sh.out("wherry describe upper --json"))
    assert (found["image"], found["command"]) == ("busybox", ["tr", "a-z", "A-Z"])
    assert found["invocationCount"] >= 1


def test_a_pipe_streams_through_its_functions(sh: Served) -> None:
    assert sh.out("echo hello | wherry invoke shout") == "HEL"
    assert sh.out("head -c 50000000 /dev/zero | wherry invoke shout | wc -c") == "3\n"


def test_bodies_of_any_size_and_kind_arrive_unharmed(sh: Served) -> None:
    data = os.urandom(5_000_001)
    done = sh.run("wherry invoke cat | md5sum", stdin=data)
    assert done.stdout.split()[0].decode() == hashlib.md5(data).hexdigest()
    assert sh.out("wherry invoke cat < /dev/null") == ""


def test_the_exit_code_is_the_function_s(sh: Served) -> None:
    done = sh.run("wherry invoke fails", stdin=b"half\n")
    assert (done.returncode, done.stdout) == (3, b"half\n")
    done = sh.run("wherry invoke slow")
    assert done.returncode == 124
    assert b"0.3 s" in done.stderr
    done = sh.run("wherry invoke nosuch")
    assert (done.returncode, done.stdout) == (125, b"")
    assert b"there is no function 'nosuch'" in done.stderr


def test_a_reader_that_leaves_ends_the_call(sh: Served) -> None:
    script = "wherry invoke --live cat < /dev/zero | head -c 3 | wc -c; echo ${PIPESTATUS[0]}"
    assert sh.out(script).split() == ["3", "141"]


def test_stderr_is_in_the_logs(sh: Served) -> None:
    sh.run("echo x | wherry invoke fails --id logged-call")
    lines = sh.out("wherry logs fails --json").splitlines()
    assert {json.loads(line)["text"] for line in lines} == {"why"}
    assert sh.out("wherry logs fails --call logged-call --tail 1") == "why\n"


def test_logs_can_be_followed(sh: Served) -> None:
    sh.run("echo x | wherry invoke fails")
    following = sh.start("wherry logs -f fails --tail 1", stdout=subprocess.PIPE)
    assert following.stdout is not None
    try:
        assert following.stdout.readline() == b"why\n"  # from here on it listens
        sh.run("echo x | wherry invoke fails")
        assert following.stdout.readline() == b"why\n"
    finally:
        following.send_signal(signal.SIGINT)
        assert following.wait(PATIENCE) == -signal.SIGINT
        following.stdout.close()


def test_a_function_is_scaled_to_zero_and_works(sh: Served) -> None:
    sh.out("wherry scale upper 0")
    assert json.loads(sh.out("wherry describe upper --json"))["replicas"] == 0
    assert sh.out("echo a | wherry invoke upper") == "A\n"
    sh.out("wherry scale upper 1")
    assert json.loads(sh.out("wherry describe upper --json"))["replicas"] >= 1


def test_secrets_reach_the_functions_that_name_them(sh: Served) -> None:
    sh.out("printf one | wherry secret create key")
    sh.out("wherry deploy reads --image busybox --secret key -- cat /run/secrets/key")
    assert sh.out("wherry invoke reads") == "one"
    sh.out("printf two | wherry secret update key")
    assert sh.out("wherry invoke reads") == "two"
    assert "key" in sh.out("wherry secret ls").split()
    assert sh.out("wherry rm reads && wherry secret rm key") == "reads\nkey\n"


def test_namespaces_keep_functions_apart(sh: Served) -> None:
    sh.out("wherry namespace create dev")
    sh.out("wherry deploy upper -n dev --image busybox -- tr a-z b-za")
    assert sh.out("echo abc | wherry invoke upper -n dev") == "bcd\n"
    assert sh.out("echo abc | wherry invoke upper") == "ABC\n"
    assert "upper.dev" in sh.out("wherry ls -a -q").split()
    assert sh.run("wherry namespace rm dev").returncode == 2
    sh.out("wherry rm upper -n dev && wherry namespace rm dev")
    assert sh.out("wherry namespace ls") == "openfaas-fn\n"


def test_files_are_deployed_and_removed(sh: Served) -> None:
    sh.file("stack.yaml", STACK.encode())
    sh.out("wherry deploy -f stack.yaml")
    assert sh.out("echo hi | wherry invoke echoes") == "hi\n"
    assert sh.out("wherry rm -f stack.yaml") == "echoes\n"
    assert sh.run("wherry describe echoes").returncode == 2


STACK = """\
provider: {name: openfaas}
functions:
  echoes: {image: busybox, fprocess: cat}
"""


def test_a_queued_call_has_an_id(sh: Served) -> None:
    identity = sh.out("echo x | wherry invoke --async upper").strip()
    assert len(identity) == 32


def test_names_are_completed(sh: Served) -> None:
    assert "upper\tbusybox\n" in sh.out("wherry complete fish describe upp")
