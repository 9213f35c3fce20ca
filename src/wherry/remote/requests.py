"""Bodies as requests of containers, parsed once; raise :class:`wherry.remote.faults.Malformed`."""

from __future__ import annotations

import base64
import math
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from wherry.errors import UsageError
from wherry.images.credentials import Credentials
from wherry.remote import publishing, words
from wherry.remote.faults import Malformed
from wherry.remote.model import Call, ExecRequest, LogsRequest, PullRequest, RunRequest
from wherry.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NO_IMAGE = "No image supplied!"
_T = TypeVar("_T")
_SECRETS = frozenset({"username", "password", "identitytoken", "registrytoken"})
_TAIL = 1_000_000
_LONGEST = 30 * 86400.0


def run_request(fields: Mapping[str, Any]) -> RunRequest:
    """Read the body of ``PUT /``."""
    if not fields.get("image"):
        raise Malformed(NO_IMAGE)

    def given(name: str, read: Callable[..., _T]) -> _T | None:
        return None if fields.get(name) in (None, "") else read(fields[name], name=name)

    return RunRequest(
        image=words.image(fields["image"]),
        name=given("name", words.container) or str(uuid.uuid4()),
        command=given("data", words.argv) or None,
        remove=words.flag(fields.get("remove"), name="remove"),
        detach=words.flag(fields.get("detach"), name="detach"),
        ports=publishing.ports(fields.get("ports")),
        volumes=publishing.volumes(fields.get("volumes")),
        env=words.environment(fields.get("env")),
        network=given("network", words.network),
        user=given("user", words.user),
        memory=given("memory", _size),
        cpus=given("cpus", _amount),
        entrypoint=_entrypoint(fields.get("entrypoint")),
        workdir=given("workdir", words.path),
        labels=words.labels(fields.get("labels")),
        capabilities=given("capabilities", words.capabilities) or (),
        credentials=_credentials(fields.get("credentials")),
        timeout=given("timeout", _seconds),
    )


def exec_request(call: Call) -> ExecRequest:
    """Read ``POST /:id``; with a body of bytes the fields come with the query."""
    fields: Mapping[str, Any] = call.query if call.stdin is not None else call.fields

    def given(name: str, read: Callable[..., _T]) -> _T | None:
        return None if fields.get(name) in (None, "") else read(fields[name], name=name)

    command = given("data", words.argv)
    if not command:
        raise Malformed("data: there is no command; write data=COMMAND, or a list of words")
    stdin = call.stdin
    if stdin is None and (text := given("stdin", words.text_of)) is not None:
        stdin = _once(text.encode())
    return ExecRequest(
        container=words.container(call.target, name="container"),
        command=command,
        tty=words.flag(fields.get("tty"), name="tty"),
        interactive=words.flag(fields.get("interactive"), name="interactive"),
        stdin=stdin,
        env=words.environment(fields.get("env")),
        user=given("user", words.user),
        workdir=given("workdir", words.path),
        timeout=given("timeout", _seconds),
    )


def logs_request(call: Call) -> LogsRequest:
    """Read ``GET /:id?tail=N&follow=1``."""
    tail = call.query.get("tail") or "all"
    if tail != "all" and not (tail.isascii() and tail.isdigit() and int(tail[:8]) <= _TAIL):
        raise Malformed(f"tail: {words.shown(tail)} must be a number of lines, or all")
    return LogsRequest(
        container=words.container(call.target, name="container"),
        follow=words.flag(call.query.get("follow"), name="follow"),
        tail=None if tail == "all" else int(tail),
    )


def pull_request(call: Call) -> PullRequest:
    """Read ``HEAD /:id*``."""
    if not call.target:
        raise Malformed(NO_IMAGE)
    return PullRequest(
        image=words.image(call.target),
        credentials=_credentials_in(call.headers.get("x-registry-auth", "")),
    )


def _credentials_in(header: str) -> Credentials | None:
    """Read ``X-Registry-Auth`` as an engine does: the base64url of a JSON object."""
    if not header:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, RecursionError) as error:
        raise Malformed("x-registry-auth: it must be the base64url of a JSON object") from error
    given = words.mapping(found, name="x-registry-auth")
    return _credentials({key: given[key] for key in given.keys() & _SECRETS if given[key]})


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _entrypoint(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    return () if value in ("", [], [""]) else words.argv(value, name="entrypoint")


def _size(value: object, *, name: str) -> int:
    try:
        return parse_size(words.text_of(value, name=name), name=name)
    except (UsageError, OverflowError) as error:
        raise Malformed(f"{name}: {words.shown(value)} is no size; write bytes, or 512m") from error


def _seconds(value: object, *, name: str) -> float:
    try:
        found = parse_duration(words.text_of(value, name=name), name=name)
    except (UsageError, OverflowError) as error:
        raise Malformed(
            f"{name}: {words.shown(value)} is no duration; write seconds, or 1m30s"
        ) from error
    if not 0 < found <= _LONGEST:
        raise Malformed(f"{name}: {words.shown(value)} must be more than 0 and at most 30 days")
    return found


def _amount(value: object, *, name: str) -> float:
    try:
        found = float(words.text_of(value, name=name))
    except ValueError as error:
        raise Malformed(f"{name}: {words.shown(value)} is no number") from error
    if not math.isfinite(found) or not 0 < found <= 1024:
        raise Malformed(f"{name}: {words.shown(value)} must be more than 0, and at most 1024")
    return found


def _credentials(value: object) -> Credentials | None:
    given = words.mapping(value, name="credentials")
    if not given:
        return None
    if unknown := set(given) - _SECRETS:
        raise Malformed(f"credentials: there is no {words.shown(min(unknown))}")
    texts = {key: words.text_of(given[key], name=f"credentials[{key}]") for key in given}
    if token := texts.get("identitytoken"):
        return Credentials("", token, "identity")
    if token := texts.get("registrytoken"):
        return Credentials("", token, "bearer")
    if not texts.get("username") or "password" not in texts:
        raise Malformed("credentials: username and password go together")
    return Credentials(texts["username"], texts["password"])
