"""The docker command that a request stands for, with what may be secret masked."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wherry.remote.model import ExecRequest, Port, RunRequest

MASK = "xxxxx"
_HINTS = "pass|secret|token|credential|api[-_.]?key|private[-_.]?key|access[-_.]?key|auth|pwd"
_NAME = rf"(?=[\w.-]*(?:{_HINTS}))[\w.-]++"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'&;|]+)"
_ASSIGNED = re.compile(rf"(?i)(?P<kept>(?<![\w.-]){_NAME}[\"']?\s*[=:]\s*){_VALUE}")
_OPTION = re.compile(rf"(?i)--?{_NAME}")
_INSIDE = re.compile(rf"(?i)(?P<kept>(?<!\S)--?{_NAME}\s+){_VALUE}")
_SCHEME = re.compile(r"(?i)(?P<kept>\b(?:bearer|basic)\s+)[\w.~+/=-]+")
_USERINFO = re.compile(r"(?P<kept>\b[a-zA-Z][a-zA-Z0-9+.-]{0,30}+://)[^\s/@]+(?=@)")
_SHORT_PASSWORDS = frozenset({"mysql", "mysqldump", "mysqladmin", "mariadb", "sshpass"})


def run(request: RunRequest) -> str:
    """Return the ``docker run`` that a request stands for."""
    options = ["--name", request.name, *_options(request)]
    return _joined("run", *options, request.image, *masked(request.command or ()))


def exec_(request: ExecRequest) -> str:
    """Return the ``docker exec``."""
    options = ["-t"] * request.tty + ["-i"] * request.interactive
    options += [word for name in request.env for word in ("-e", f"{name}={MASK}")]
    options += _given("--user", request.user) + _given("--workdir", request.workdir)
    return _joined("exec", *options, request.container, *masked(request.command))


def logs(container: str) -> str:
    """Return the ``docker logs``."""
    return _joined("logs", container)


def remove(container: str) -> str:
    """Return the ``docker rm``."""
    return _joined("rm", "-f", container)


def inspect(container: str) -> str:
    """Return the ``docker inspect``."""
    return _joined("inspect", container)


def masked(words: Iterable[str]) -> Iterator[str]:
    """Yield words of a command without what looks like a secret.

    That is what follows a word such as ``--password`` or ``API_KEY=``, and who logs in in a URL.
    """
    follows, before = False, ""
    for word in words:
        yield MASK if follows else mask(_short_password(word, before))
        follows = bool(_OPTION.fullmatch(word))
        before = before or word.rpartition("/")[2]


def _short_password(word: str, program: str) -> str:
    given = program in _SHORT_PASSWORDS and word.startswith("-p") and len(word) > len("-p")
    return f"-p{MASK}" if given else word


def mask(text: str) -> str:
    """Return text without what looks like a secret in it."""
    for pattern in (_USERINFO, _SCHEME, _ASSIGNED, _INSIDE):
        text = pattern.sub(rf"\g<kept>{MASK}", text)
    return text


def _options(request: RunRequest) -> Iterator[str]:
    for port in request.ports:
        yield from ("-p", _port(port))
    for volume in request.volumes:
        mode = ":ro" if volume.read_only else ""
        yield from ("-v", f"{volume.source}:{volume.target}{mode}")
    yield from ["--rm"] * request.remove + ["--detach"] * request.detach
    for name in request.env:
        yield from ("-e", f"{name}={MASK}")
    for name, value in request.labels.items():
        yield from ("--label", mask(f"{name}={value}"))
    yield from _given("--network", request.network)
    yield from _given("--user", request.user)
    yield from _given("--memory", request.memory)
    yield from _given("--cpus", request.cpus)
    yield from _given("--workdir", request.workdir)
    for capability in request.capabilities:
        yield from ("--cap-add", capability)
    if request.entrypoint is not None:
        yield from ("--entrypoint", " ".join(masked(request.entrypoint)))


def _port(port: Port) -> str:
    address = f"[{port.address}]" if ":" in port.address else port.address
    where = f"{address}:" if address else ""
    kind = "" if port.protocol == "tcp" else f"/{port.protocol}"
    return f"{where}{port.host or ''}:{port.container}{kind}"


def _given(option: str, value: object) -> list[str]:
    return (
        [] if value is None else [option, f"{value:g}" if isinstance(value, float) else str(value)]
    )


def _joined(*words: str) -> str:
    return shlex.join(("docker", *words))
