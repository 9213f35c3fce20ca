"""Requests of DockerServer's clients, each with the whole of its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
IMAGE = "busybox"
LARGEST = 10_240


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One request, and what has to come back, all of it.

    ``{x}`` stands for a word that is the run's own, ``{id}`` for 64 hexadecimal digits.
    """

    ask: str
    """Method and path."""
    body: str | Mapping[str, Any] | None = None
    """Text is a form."""
    status: int = 200
    answer: Any = None
    """JSON; bytes are the body as it is."""
    kind: str | None = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    """More of the request's; an empty one is left out."""

    @property
    def expected(self) -> bytes:
        if isinstance(self.answer, bytes):
            return self.answer
        return json.dumps(self.answer, separators=(",", ":"), ensure_ascii=False).encode()


def failed(error: str, status: int = 500) -> dict[str, Any]:
    return {"status": status, "answer": {"code": status, "error": error}}


def done(command: str, raw: str, **more: str) -> dict[str, Any]:
    return {"answer": {"command": command, "raw": raw, **more}}


NO_IMAGE = failed("No image supplied!", 400)
GONE = "No such container: {x}gone"
UNAUTHORIZED: dict[str, Any] = {"status": 401, "answer": b"Unauthorized", "kind": TEXT}
RUN = "docker run --name {x}"
TOO_LARGE = failed("the body is larger than 10240 bytes, the most that is taken", 413)


def not_there(ask: str) -> dict[str, Any]:
    return failed(f"Cannot {ask}", 404)


PAIRS = (
    # who is let in
    Pair(ask="GET /", headers={"authorization": ""}, **UNAUTHORIZED),
    Pair(ask="PUT /", body="image=busybox", headers={"authorization": "Basic eA=="},
         **UNAUTHORIZED),
    Pair(ask="DELETE /{x}box", headers={"authorization": "Bearer x"}, **UNAUTHORIZED),
    Pair(ask="HEAD /busybox", headers={"authorization": ""}, status=401, answer=b"", kind=TEXT),
    Pair(ask="GET /nowhere/at/all", headers={"authorization": ""}, **UNAUTHORIZED),
    # run
    Pair(ask="PUT /", body="image=busybox&name={x}box&detach=true&ports[0]=80"
                           "&data=sh -c 'echo up; echo err >%262; sleep 1000'",
         **done(RUN + "box -p :80 --detach busybox sh -c 'echo up; echo err >&2; sleep 1000'",
                "{id}\n", containerId="{id}")),
    Pair(ask="PUT /", body={"image": IMAGE, "name": "{x}loop", "detach": True,
                            "data": ["sleep", "1000"]},
         **done(RUN + "loop --detach busybox sleep 1000", "{id}\n", containerId="{id}")),
    Pair(ask="PUT /", body="image=busybox&name={x}a&remove=true&detach=false&data=echo hello",
         **done(RUN + "a --rm busybox echo hello", "hello\n", containerId="hello")),
    Pair(ask="PUT /", body={"image": IMAGE, "name": "{x}a", "remove": True, "env": {"A": "b c"},
                            "data": ["sh", "-c", "echo $A; id -u; pwd"], "user": "1000",
                            "workdir": "/tmp", "network": "none", "labels": {"x": "y"}},
         **done(RUN + "a --rm -e A=xxxxx --label x=y --network none --user 1000 --workdir /tmp "
                      "busybox sh -c 'echo $A; id -u; pwd'", "b c\n1000\n/tmp\n",
                containerId="b c\n1000\n/tmp")),
    Pair(ask="PUT /", body="image=busybox&name={x}three&data=sh -c 'echo no >%262; exit 3'",
         **failed("Command failed: " + RUN + "three busybox sh -c 'echo no >&2; exit 3': returned "
                  "non-zero exit status 3: no")),
    Pair(ask="PUT /", body="image=busybox&name={x}b&remove=1&entrypoint=echo&data=$HOME ;id `id`",
         **done(RUN + "b --rm --entrypoint echo busybox '$HOME' ';id' '`id`'", "$HOME ;id `id`\n",
                containerId="$HOME ;id `id`")),
    Pair(ask="PUT /", body="image=busybox&name={x}c&remove=1&data=nothere",
         **failed("the image has no program 'nothere', or what it names to run it with")),
    Pair(ask="PUT /", body="image=busybox&name={x}box",
         **failed('Conflict. The container name "/{x}box" is already in use by container "{id}". '
                  "You have to remove (or rename) that container to be able to reuse that name.")),
    Pair(ask="PUT /", body="image=busybox&name={x}d&volumes[/etc]=/host",
         **failed("volumes: '/etc' may not be mounted for writing; who runs this server allows it "
                  "with --mounts, or with mounts in its policy file", 403)),
    Pair(ask="PUT /", body="name={x}x", **NO_IMAGE),
    Pair(ask="PUT /", body={"name": "{x}x"}, **NO_IMAGE),
    Pair(ask="PUT /", body="image=", **NO_IMAGE),
    Pair(ask="PUT /", **NO_IMAGE),
    Pair(ask="PUT /", body="image=busybox", headers={"content-type": "text/plain"}, **NO_IMAGE),
    Pair(ask="PUT /", body="image=busybox&name=a%20--privileged",
         **failed("name: 'a --privileged' is no container; names and ids are letters and digits, "
                  "with '_', '.' and '-' after the first", 400)),
    Pair(ask="PUT /", body={"image": "--privileged"},
         **failed("image '--privileged': '--privileged' is not a valid name; it is made of a-z and "
                  "0-9, with single '.', '_', '__' or dashes between them, and '/' between parts",
                  400)),
    Pair(ask="PUT /", body="image=busybox&ports[80 -v /:/h]=80",
         **failed("ports: '80 -v /:/h=80' must be HOST=CONTAINER, as in ports[8080]=80 or "
                  "ports[127.0.0.1:53]=53/udp", 400)),
    Pair(ask="PUT /", body="image=busybox&volumes[.]=/data",
         **failed("volumes: '.=/data' must be an absolute path or a volume's name, and an absolute "
                  "path inside, as in volumes[/tmp/data]=/data or …=/data:ro", 400)),
    Pair(ask="PUT /", body="image=busybox&detach=maybe",
         **failed("detach: 'maybe' must be true or false", 400)),
    Pair(ask="PUT /", body="image=busybox&data=echo 'x",
         **failed("data: \"echo 'x\" cannot be split into words: No closing quotation", 400)),
    Pair(ask="PUT /", body="image=busybox&a[=1",
         **failed("'a[': brackets must come in pairs, as in ports[80]=80", 400)),
    Pair(ask="PUT /", body="{{", headers={"content-type": "application/json"},
         **failed("the body is no JSON: Input data was truncated", 400)),
    Pair(ask="PUT /", body="[]", headers={"content-type": "application/json"},
         **failed("the body must be a JSON object", 400)),
    Pair(ask="PUT /", body="image=busybox&x=".ljust(LARGEST + 1, "x"), **TOO_LARGE),
    Pair(ask="POST /{x}box", body="x" * 20_000, **TOO_LARGE),
    # logs
    Pair(ask="GET /{x}box", **done("docker logs {x}box", "up\n")),
    Pair(ask="GET /{x}box/", **done("docker logs {x}box", "up\n")),
    Pair(ask="GET /%7Bx%7D", **failed("container: '{{x}}' is no container; names and ids are "
                                      "letters and digits, with '_', '.' and '-' after the first",
                                      400)),
    Pair(ask="GET /{x}three", **done("docker logs {x}three", "")),
    Pair(ask="GET /{x}loop?tail=1", **done("docker logs {x}loop", "")),
    Pair(ask="GET /{x}gone", **failed(GONE)),
    Pair(ask="GET /{x}box?tail=x", **failed("tail: 'x' must be a number of lines, or all", 400)),
    # exec
    Pair(ask="POST /{x}box", body="data=echo hi", **done("docker exec {x}box echo hi", "hi\n")),
    Pair(ask="POST /{x}box", body="data=echo run ps inspect images",
         **done("docker exec {x}box echo run ps inspect images", "run ps inspect images\n")),
    Pair(ask="POST /{x}box", body="data=cat&interactive=true",
         **done("docker exec -i {x}box cat", "")),
    Pair(ask="POST /{x}box", body={"data": ["cat"], "interactive": True, "stdin": "in\n"},
         **done("docker exec -i {x}box cat", "in\n")),
    Pair(ask="POST /{x}box", body="data=tty&tty=yes",
         **done("docker exec -t {x}box tty", "/dev/pts/0\r\n")),
    Pair(ask="POST /{x}box", body="data=echo&data=%24%28id%29",
         **done("docker exec {x}box echo '$(id)'", "$(id)\n")),
    Pair(ask="POST /{x}box", body="data=echo --password hunter2",
         **done("docker exec {x}box echo --password xxxxx", "--password hunter2\n")),
    Pair(ask="POST /{x}box", body="data=false",
         **failed("Command failed: docker exec {x}box false: returned non-zero exit status 1")),
    Pair(ask="POST /{x}three", body="data=ls", **failed("Container {id} is not running")),
    Pair(ask="POST /{x}gone", body="data=ls", **failed(GONE)),
    Pair(ask="POST /{x}box",
         **failed("data: there is no command; write data=COMMAND, or a list of words", 400)),
    Pair(ask="POST /{x}box", body="data=ls&tty=maybe",
         **failed("tty: 'maybe' must be true or false", 400)),
    # pull
    Pair(ask="HEAD /localhost:9/nothere", status=500, answer=b""),
    Pair(ask="HEAD /localhost%3A9%2Fnot%2Fthere%3A1", status=500, answer=b""),
    Pair(ask="HEAD /--help", status=400, answer=b""),
    Pair(ask="HEAD /", status=200, answer=b""),
    # what is not there
    Pair(ask="PUT /{x}box", body="image=busybox", **not_there("PUT /{x}box")),
    Pair(ask="POST /", body="data=ls", **not_there("POST /")),
    Pair(ask="DELETE /", **not_there("DELETE /")),
    Pair(ask="PATCH /", **not_there("PATCH /")),
    Pair(ask="OPTIONS /", **not_there("OPTIONS /")),
    Pair(ask="GET /a/b", **not_there("GET /a/b")),
    # remove
    Pair(ask="DELETE /{x}three", **done("docker rm -f {x}three", "{x}three\n")),
    Pair(ask="DELETE /{x}three", **done("docker rm -f {x}three", "")),
    Pair(ask="DELETE /{x}loop/", **done("docker rm -f {x}loop", "{x}loop\n")),
    Pair(ask="DELETE /{x}box", **done("docker rm -f {x}box", "{x}box\n")),
    Pair(ask="DELETE /{x}box;id", **failed("container: '{x}box;id' is no container; names and ids "
                                           "are letters and digits, with '_', '.' and '-' after "
                                           "the first", 400)),
    Pair(ask="GET /{x}box", **failed("No such container: {x}box")),
)  # fmt: skip
