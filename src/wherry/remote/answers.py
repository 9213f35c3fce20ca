"""Answers: documents, and what an error becomes in the compatible mode and in the strict one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from wherry.errors import (
    AuthenticationRequired,
    Conflict,
    EngineError,
    EngineUnavailable,
    ImageError,
    ImageNotFound,
    NotFound,
    ProgramNotExecutable,
    ProgramNotFound,
    StartError,
    UsageError,
    WherryError,
)
from wherry.remote.faults import Ended, Fault, Malformed
from wherry.remote.model import Answer
from wherry.remote.refusals import Failed

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
MISTAKE = "a mistake in wherry itself; its log says more"
_UNREACHABLE = "the engine cannot be reached; the server's log says more"
_FAILED = "the engine failed; the server's log says more"
_NOT_EXECUTED = 126
_NO_PROGRAM = 127
_log = logging.getLogger(__name__)

# The first class that fits counts. What is not here is the engine's failure.
_STATUS: tuple[tuple[type[WherryError], int], ...] = (
    (NotFound, 404),
    (ImageNotFound, 404),
    (Conflict, 409),
    (AuthenticationRequired, 422),
    (StartError, 422),
    (UsageError, 422),
    (ImageError, 502),
    (EngineUnavailable, 503),
    (EngineError, 502),
)


def document(
    value: Any,  # noqa: ANN401 - JSON
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Return a JSON answer, without blanks."""
    body = msgspec.json.encode(value)
    return Answer(status=status, headers={"Content-Type": JSON, **(headers or {})}, body=body)


def text(line: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return a line of text, as it is."""
    told = {"Content-Type": TEXT, **(headers or {})}
    return Answer(status=status, headers=told, body=line.encode(errors="backslashreplace"))


def failure(error: WherryError, *, strict: bool) -> Answer:
    """Return the answer to a request that was not done; logs what a stranger is not told."""
    if isinstance(error, Fault):
        status = error.status if strict else error.compatible
        if error.is_plain:
            return text(str(error), status=status, headers=error.headers)
        return _problem(status, str(error), headers=error.headers)
    if isinstance(error, Malformed):
        return _problem(400, str(error))
    status = _status_of(error) if strict else 500
    return _problem(status, _told(error), more=_details(error) if strict else {})


def mistake() -> Answer:
    """Return the answer where we are wrong."""
    return _problem(500, MISTAKE)


def _problem(
    status: int,
    message: str,
    *,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Answer:
    plain = message.encode(errors="backslashreplace").decode()
    body = {"code": status, "error": plain, **(more or {})}
    return document(body, status=status, headers=headers)


def _status_of(error: WherryError) -> int:
    if isinstance(error, Ended):
        return 504 if error.code is None else 422
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def _told(error: WherryError) -> str:
    """Return an error's words, unless they could name what is the server's own."""
    inner = isinstance(error, EngineError) and not isinstance(error, Failed)
    if not inner:
        return str(error)
    _log.warning("the engine failed", extra={"reason": str(error)})
    return _UNREACHABLE if isinstance(error, EngineUnavailable) else _FAILED


def _details(error: WherryError) -> Mapping[str, Any]:
    if isinstance(error, Ended):
        return {
            "exit_code": error.code,
            "stdout": error.stdout.decode(errors="replace"),
            "stderr": error.stderr.decode(errors="replace"),
        }
    codes = ((ProgramNotFound, _NO_PROGRAM), (ProgramNotExecutable, _NOT_EXECUTED))
    code = next((code for kind, code in codes if isinstance(error, kind)), None)
    return {} if code is None else {"exit_code": code, "stdout": "", "stderr": ""}
