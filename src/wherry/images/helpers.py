"""Docker's credential helpers: a program that is asked for one secret over stdin."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import suppress

from wherry.errors import ImageError
from wherry.images.faults import own_words

_TIMEOUT = 60.0
"""Seconds; a helper may ask the user to unlock a key ring."""
_NOT_FOUND = ("credentials not found", "credentials server url", "no credentials")


async def ask_helper(program: str, server: str) -> tuple[str, str] | None:
    """Return what a helper knows of a server: user name and secret; None for nothing.

    The protocol is that of docker-credential-helpers: ``PROGRAM get``, the server on stdin, JSON
    on stdout. Raises ImageError when the helper is missing or fails in another way than by
    having nothing.
    """
    path = shutil.which(program)
    if path is None:
        raise ImageError(f"the credential helper {program!r} is not on PATH")
    try:
        code, output = await asyncio.wait_for(_run(path, server), _TIMEOUT)
    except TimeoutError as error:
        raise ImageError(f"{program} did not answer within {_TIMEOUT:.0f} seconds") from error
    except OSError as error:
        raise ImageError(f"{program} could not be started: {error}") from error
    if code != 0:
        words = own_words(output)
        if any(text in words.lower() for text in _NOT_FOUND):
            return None
        raise ImageError(f"{program} failed with exit code {code}: {words}")
    return _read_answer(output, program=program)


async def _run(path: str, server: str) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        path,
        "get",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await process.communicate(server.encode())
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):  # a child of its own may keep the pipes open
            await asyncio.wait_for(process.wait(), 1)
        raise
    return process.returncode or 0, output


def _read_answer(output: bytes, *, program: str) -> tuple[str, str] | None:
    try:
        answer = json.loads(output)
        username, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        # Not chained: the text of the answer may hold the secret.
        raise ImageError(f"{program} did not answer with Username and Secret") from None
    return (username, secret) if secret else None
