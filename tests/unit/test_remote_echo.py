"""The `command` of an answer: the docker command, and no secret in it."""

from __future__ import annotations

import shlex
import time

import pytest

from wherry.remote import echo
from wherry.remote.model import ExecRequest
from wherry.remote.requests import run_request

SECRET = "hunter2"


def test_the_command_is_the_docker_command_of_the_request() -> None:
    request = run_request(
        {"image": "redis", "name": "p-redis", "ports": {"1234": "6379", "127.0.0.1:53": "53/udp"},
         "volumes": {"/tmp/data": "/data", "/etc": "/e:ro"}, "remove": True, "detach": True,
         "data": "sh -c 'echo $HOME'", "memory": "64m", "cpus": 0.5, "user": "1", "workdir": "/",
         "network": "none", "entrypoint": "", "labels": {"a": "b"}, "capabilities": "net_admin"}
    )  # fmt: skip
    assert echo.run(request) == (
        "docker run --name p-redis -p 1234:6379 -p 127.0.0.1:53:53/udp -v /tmp/data:/data "
        "-v /etc:/e:ro --rm --detach --label a=b --network none --user 1 --memory 67108864 "
        "--cpus 0.5 --workdir / --cap-add NET_ADMIN --entrypoint '' redis sh -c 'echo $HOME'"
    )
    assert echo.logs("box") == "docker logs box"
    assert echo.remove("box") == "docker rm -f box"
    asked = ExecRequest(container="box", command=("ls", "-l"), tty=True, interactive=True)
    assert echo.exec_(asked) == "docker exec -t -i box ls -l"


@pytest.mark.parametrize(
    "words",
    [
        [f"--password={SECRET}"], ["--password", SECRET], ["-password", SECRET],
        [f"POSTGRES_PASSWORD={SECRET}"], [f"api_key: {SECRET}"], [f"--api-key={SECRET}"],
        ["redis-server", "--requirepass", SECRET], ["mysql", f"-p{SECRET}"],
        ["sh", "-c", f"mysql --password={SECRET} -u root"], ["sh", "-c", f"x --token '{SECRET}' y"],
        ["sh", "-c", f"x --verbose --token {SECRET}"], [f'{{"password": "{SECRET}"}}'],
        ["curl", f"https://me:{SECRET}@example.org/"],
        ["curl", "-H", f"Authorization: Bearer {SECRET}"],
        [f"x=DB_TOKEN={SECRET}"], [f"AWS_SECRET_ACCESS_KEY={SECRET}"], [f"redis://:{SECRET}@db/0"],
    ],
)  # fmt: skip
def test_secrets_of_a_command_are_masked(words: list[str]) -> None:
    request = run_request({"image": "a", "data": words})
    assert SECRET not in echo.run(request)
    assert SECRET not in echo.exec_(ExecRequest(container="b", command=tuple(words)))


def test_values_of_variables_and_labels_are_masked() -> None:
    request = run_request(
        {"image": "a", "env": {"PLAIN": SECRET}, "labels": {"my.token": SECRET},
         "credentials": {"username": "u", "password": SECRET},
         "entrypoint": ["x", "--token", SECRET]}
    )  # fmt: skip
    assert SECRET not in echo.run(request)
    assert f"-e PLAIN={echo.MASK}" in echo.run(request)


def test_plain_words_are_left_as_they_are() -> None:
    words = ["sh", "-c", "echo a=b; ls -p /x; cat http://example.org/a@b", "monkey=1"]
    assert list(echo.masked(words)) == words
    assert shlex.split(echo.exec_(ExecRequest(container="b", command=tuple(words)))) == [
        "docker", "exec", "b", *words
    ]  # fmt: skip


@pytest.mark.parametrize(
    "piece", ["token", "token ", "-token", "a", "token=", "://", "a://", '"token"']
)
def test_masking_takes_no_longer_for_a_body_that_wants_it_to(piece: str) -> None:
    begun = time.process_time()
    echo.mask((piece * 10_000)[:10_000])
    assert time.process_time() - begun < 0.5
