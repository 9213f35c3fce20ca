"""What an image says of how it runs, on the real local engine."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from wherry.errors import ImageError, UsageError
from wherry.images.model import ImageConfig
from wherry.models import Exit, Output

if TYPE_CHECKING:
    from tests.support.local_calls import Calls

ENTRYPOINT = ("echo", "said:")


@pytest.fixture
def talking(calls: Calls) -> str:
    config = ImageConfig(entrypoint=ENTRYPOINT, cmd=("the", "image"))
    return calls.image("talking", config=config)


async def test_the_images_entrypoint_and_cmd_run_when_nothing_else_is_asked_for(
    calls: Calls, talking: str
) -> None:
    assert (await calls.run(image=talking)).stdout == b"said: the image\n"


async def test_a_command_and_arguments_replace_the_images_cmd(calls: Calls, talking: str) -> None:
    assert (await calls.run("the", "function", image=talking)).stdout == b"said: the function\n"
    result = await calls.run("the", image=talking, args=("call", "too"))
    assert result.stdout == b"said: the call too\n"
    assert (await calls.run(image=talking, args=("only",))).stdout == b"said: only\n"


async def test_an_entrypoint_of_the_function_takes_the_images_cmd_away_as_in_docker(
    calls: Calls, talking: str
) -> None:
    result = await calls.run("x", image=talking, entrypoint=("echo", "-n"))
    assert result.stdout == b"x"
    assert (await calls.run(image=talking, entrypoint=("echo", "alone"))).stdout == b"alone\n"


async def test_an_empty_entrypoint_clears_the_images(calls: Calls, talking: str) -> None:
    assert (await calls.run("echo", "bare", image=talking, entrypoint=())).stdout == b"bare\n"
    with pytest.raises(UsageError, match=r"talking.*names no command"):
        await calls.run(image=talking, entrypoint=())


async def test_an_image_without_a_command_says_what_to_do(calls: Calls) -> None:
    with pytest.raises(UsageError, match="'busybox' names no command of its own"):
        await calls.run()


async def test_the_nearest_environment_wins(calls: Calls) -> None:
    image = calls.image(
        "env", config=ImageConfig(env={"A": "image", "B": "image", "C": "image", "PATH": "/bin"})
    )
    script = 'echo "$A $B $C $PATH"'
    env = {"B": "function", "C": "function"}
    got = await calls.lines(script, image=image, env=env, call_env={"C": "call"})
    assert got == ["image function call /bin"]


async def test_the_images_working_directory_is_made_when_it_is_missing(calls: Calls) -> None:
    image = calls.image("workdir", config=ImageConfig(workdir="/srv/deep/app"))
    assert await calls.lines("pwd; touch here; ls", image=image) == ["/srv/deep/app", "here"]
    assert await calls.lines("pwd", image=image, workdir="/tmp") == ["/tmp"]


async def test_a_working_directory_may_be_reached_through_links_of_the_image(calls: Calls) -> None:
    image = calls.image("linked", add={"real": 0o755, "link": "/real"})
    script = "pwd; readlink -f ."
    assert await calls.lines(script, image=image, workdir="/link/sub") == ["/link/sub", "/real/sub"]


async def test_a_working_directory_that_cannot_be_entered_is_named(calls: Calls) -> None:
    with pytest.raises(UsageError, match="workdir '/etc/passwd'"):
        await calls.run("true", workdir="/etc/passwd")
    with pytest.raises(UsageError, match="workdir 'tmp' must be an absolute path"):
        await calls.run("true", workdir="tmp")


@pytest.mark.parametrize(
    ("user", "ids", "home"),
    [
        (None, "0:0", "/root"),
        ("ferryman", "1000:1000", "/home/ferryman"),
        ("1000", "1000:1000", "/home/ferryman"),
        ("ferryman:boats", "1000:2000", "/home/ferryman"),
        ("7:8", "7:8", "/"),
        ("4711", "4711:0", "/"),
        ("0:boats", "0:2000", "/root"),
    ],
)
async def test_a_user_is_found_in_the_images_own_accounts(
    calls: Calls, user: str | None, ids: str, home: str
) -> None:
    script = 'echo "$(id -u):$(id -g) $HOME"; touch /tmp/mine; stat -c %u:%g /tmp/mine'
    assert await calls.lines(script, user=user) == [f"{ids} {home}", ids]
    image = calls.image("with-user", config=ImageConfig(user=user or ""))
    assert await calls.lines(script, image=image) == [f"{ids} {home}", ids]


async def test_a_user_the_image_does_not_know_is_named(calls: Calls) -> None:
    with pytest.raises(UsageError, match="no user 'stowaway'"):
        await calls.run("true", user="stowaway")
    with pytest.raises(UsageError, match="no group 'crew'"):
        await calls.run("true", user="ferryman:crew")


async def test_volumes_are_directories_that_can_be_written(calls: Calls) -> None:
    image = calls.image("volumes", config=ImageConfig(volumes=("/data", "/var/lib/deep", "/etc")))
    script = "touch /data/a /var/lib/deep/b /etc/c; ls /data /var/lib/deep; test -e /etc/passwd"
    assert await calls.lines(script, image=image) == ["/data:", "a", "", "/var/lib/deep:", "b"]


async def test_one_call_sees_nothing_of_what_another_wrote(calls: Calls) -> None:
    assert await calls.lines("echo mine > /etc/motd; rm /etc/passwd; cat /etc/motd") == ["mine"]
    assert await calls.lines("ls /etc/motd 2>&1; wc -l < /etc/passwd") == [
        "ls: /etc/motd: No such file or directory",
        "2",
    ]


async def test_an_image_without_etc_tmp_dev_or_proc_still_runs(calls: Calls) -> None:
    image = calls.image("bare", without=("etc", "etc/passwd", "etc/group", "tmp", "run"))
    lines = await calls.lines("stat -c %a /tmp; cat /etc/hostname; ls /dev/null", image=image)
    assert lines[0] == "1777"
    assert lines[2] == "/dev/null"


async def test_an_image_that_leads_proc_elsewhere_is_refused(calls: Calls) -> None:
    image = calls.image("evil", add={"proc": "/"})
    with pytest.raises(ImageError, match="/proc leads to '/'"):
        await calls.run("true", image=image)


async def test_a_program_is_found_as_path_says(calls: Calls) -> None:
    add: dict[str, bytes | str | int] = {"opt": 0o755, "opt/hello": b"#!/bin/sh\necho hello $0\n"}
    image = calls.image("path", add=add, config=ImageConfig(env={"PATH": "/bin:/opt"}))
    assert (await calls.run("hello", image=image)).stdout == b"hello /opt/hello\n"
    result = await calls.run("hello", image=image, call_env={"PATH": "/opt"})
    assert result.exit == Exit(0)


TRAPS = """
    trap 'echo hangup; exit 1' HUP; trap 'echo interrupt; exit 2' INT
    trap 'echo terminated; exit 3' TERM; echo ready; while :; do sleep 0.01; done"""


@pytest.mark.parametrize(
    ("of_the_image", "of_the_function", "heard"),
    [
        (None, None, b"terminated\n"),
        ("SIGHUP", None, b"hangup\n"),
        ("2", None, b"interrupt\n"),
        ("SIGNONSENSE", None, b"terminated\n"),
        ("SIGHUP", "SIGINT", b"interrupt\n"),
    ],
)
async def test_a_program_is_asked_to_stop_as_it_wants_to_be(
    calls: Calls, of_the_image: str | None, of_the_function: str | None, heard: bytes
) -> None:
    image = calls.image("stopping", config=ImageConfig(stop_signal=of_the_image))
    called = calls.start("sh", "-c", TRAPS, image=image, stop_signal=of_the_function)
    async with called as container:
        events = aiter(container)
        assert await anext(events) == Output("stdout", b"ready\n")
        await container.kill(signal.SIGTERM)
        assert await anext(events) == Output("stdout", heard)
