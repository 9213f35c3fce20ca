"""What the command line of `wherry dispatch` means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wherry.cli import dispatch
from wherry.errors import UsageError

if TYPE_CHECKING:
    from wherry.triggers.amqp.options import DispatchOptions

URL = "amqp://user:swordfish@host/"


def options(*words: str, url: str = URL) -> DispatchOptions:
    args = dispatch.parser().parse([*words, "local", url])
    return dispatch.options_of(args, Path("data"))


@pytest.mark.parametrize(
    ("given", "spec"),
    [("127.0.0.1:2375", "docker+tcp://127.0.0.1:2375"), ("host:2375", "docker+tcp://host:2375"),
     ("/var/run/docker.sock", "docker:///var/run/docker.sock"), ("local", "local"),
     ("docker:", "docker:"), ("docker+tls://host:2376", "docker+tls://host:2376"),
     ("memory", "memory")],
)  # fmt: skip
def test_the_engine_is_a_socket_an_address_or_a_name(given: str, spec: str) -> None:
    assert dispatch.engine_spec(given) == spec


def test_options_are_read() -> None:
    read = options("-q", "jobs", "-P", "3", "--retry", "1s,2m", "--ack-timeout", "1h", "--passive")
    assert (read.queue, read.concurrency, read.delays) == ("jobs", 3, (1.0, 120.0))
    assert (read.ack_timeout, read.passive, read.attempts) == (3600.0, True, 3)
    assert read.retry(1) == ("jobs.retry.1000", 1.0)
    assert read.retry(9) == ("jobs.retry.120000", 120.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--queue-type", "lazy"), "--queue-type"), (("-P", "0"), "--concurrency"),
     (("--policy", "nowhere.toml"), "nowhere.toml"), (("--retry", "soon"), "--retry"),
     (("--retry", "50d"), "--retry: .* too long"), (("-q", "q" * 231), "--queue: ")],
)  # fmt: skip
def test_what_cannot_be_right_is_named(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        options(*words)


@pytest.mark.parametrize(
    "url", ["http://a:swordfish@host/", "amqp://", "host:5672", "amqp://[::1", ""]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="AMQPADDR: it must be amqp://") as caught:
        options(url=url)
    assert "swordfish" not in str(caught.value)


def test_the_password_is_in_no_text_of_the_options() -> None:
    assert "swordfish" not in repr(options())


def test_the_name_that_operators_know_is_the_same_command() -> None:
    code = "import sys; sys.argv = ['docker-dispatch', '--help']; import wherry.cli as c"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; c.docker_dispatch()"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "wherry dispatch" in done.stdout
