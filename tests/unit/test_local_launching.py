"""The launcher, compiled and in Python: alike in what it refuses and how it says so."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.require import missing

from wherry.engines.local import launching
from wherry.engines.local.launching import Launch, compiled_launcher, spawn


@pytest.fixture(params=[True, False], ids=["compiled", "Python"])
def launch(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Launch, int]]:
    """A launch of /bin/true instead of bubblewrap, and what comes from its stderr."""
    if request.param and compiled_launcher() is None:
        missing("a compiled launcher")
    null = os.open("/dev/null", os.O_RDWR)
    read, write = os.pipe()
    os.set_blocking(read, False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    yield (
        Launch(
            marker="marker",
            program=Path("/bin/sh"),
            arguments=("-c", "exit 42"),
            scratch=scratch,
            tmp=1 << 20,
            processes=100,
            data=None,
            cgroups=(),
            sandbox=None,
            stdin=null,
            stdout=null,
            stderr=write,
            keep=(),
            compiled=request.param,
        ),
        read,
    )
    for fd in (null, read, write):
        os.close(fd)


def end_of(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def said(fd: int) -> str:
    try:
        return os.read(fd, 4096).decode()
    except BlockingIOError:
        return ""


def test_a_scratch_directory_that_is_not_there_is_named(launch: tuple[Launch, int]) -> None:
    order, stderr = launch
    assert end_of(spawn(replace(order, scratch=Path("/no/such/place")))) == 125
    words = said(stderr)
    assert words.startswith("wherry-launcher: ")
    assert words.endswith("No such file or directory\n")


def test_a_group_that_cannot_be_joined_is_named(launch: tuple[Launch, int]) -> None:
    order, stderr = launch
    assert end_of(spawn(replace(order, cgroups=(Path("/no/such/cgroup.procs"),)))) == 125
    assert said(stderr) == "wherry-launcher: /no/such/cgroup.procs: No such file or directory\n"


def test_every_group_is_joined_also_with_a_colon_in_its_path(
    launch: tuple[Launch, int], tmp_path: Path
) -> None:
    order, _ = launch
    files = [tmp_path / name for name in ("a", "b:c", "d e")]
    for file in files:
        file.touch()
    end_of(spawn(replace(order, cgroups=files)))
    assert [file.read_text() for file in files] == ["0"] * 3


def test_a_program_that_is_not_there_is_named(launch: tuple[Launch, int]) -> None:
    order, stderr = launch
    assert end_of(spawn(replace(order, program=Path("/no/such/bwrap")))) == 125
    assert "No such file or directory" in said(stderr)


def test_a_caller_that_is_gone_already_ends_it_without_a_word(
    launch: tuple[Launch, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    order, stderr = launch
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    assert end_of(spawn(order)) == 125
    assert said(stderr) == ""


def test_more_arguments_than_the_kernel_takes_are_no_fault_of_the_launcher(
    launch: tuple[Launch, int],
) -> None:
    order, _ = launch
    with pytest.raises(OSError, match="Argument list too long") as caught:
        spawn(replace(order, arguments=("x" * 200_000,)))
    assert caught.value.errno == errno.E2BIG


def test_every_signal_is_set_to_its_default() -> None:
    missing_ones = signal.valid_signals() - set(launching._DEFAULT_SIGNALS)
    assert missing_ones == {signal.SIGKILL, signal.SIGSTOP}
