"""A program in a running container that does not outlive whoever asked for it.

An engine has no way to kill what ``docker exec`` began, so a second program does it: a shell of
the same user in the same container, which knows the first one, and all that it has started, by a
variable of their environment. An image without ``sh``, ``tr`` and ``grep`` has nobody who could.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from wherry.errors import EngineError
from wherry.models import Exit, new_id
from wherry.streams import NOTHING

if TYPE_CHECKING:
    from wherry.engines.base import Event, Stdin
    from wherry.engines.docker.execution import Execution
    from wherry.engines.docker.management import Management

_LOG = logging.getLogger(__name__)
_MARK = "WHERRY_EXEC"
_PATIENCE = 10.0
"""Seconds that the killing may take."""
# Again until none is found: a process may start another one in between.
_SCRIPT = """
for turn in 1 2 3 4 5 6 7 8; do
  found=
  for process in /proc/[0-9]*; do
    if tr '\\0' '\\n' 2>/dev/null <"$process/environ" | grep -qxF "$1"; then
      found=1
      kill -9 "${process#/proc/}" 2>/dev/null
    fi
  done
  [ "$found" ] || exit 0
done
exit 1
"""


class Killable:
    """The events of an execution, and whether they came to their end."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self.ended = False

    async def __aiter__(self) -> AsyncIterator[Event]:
        async for event in self._execution:
            self.ended = self.ended or isinstance(event, Exit)
            yield event


@asynccontextmanager
async def killed_when_left(
    management: Management,
    container: str,
    *,
    command: Sequence[str],
    stdin: Stdin,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    workdir: str | None = None,
) -> AsyncIterator[Killable]:
    """Run a program in a running container; leaving the block before its end kills it."""
    mark = new_id()
    running = management.exec(
        container, command, stdin=stdin, env={**(env or {}), _MARK: mark}, user=user,
        workdir=workdir,
    )  # fmt: skip
    async with running as execution:
        events = Killable(execution)
        try:
            yield events
        finally:
            if not events.ended:
                await asyncio.shield(_kill(management, container, mark=mark, user=user))


async def _kill(management: Management, container: str, *, mark: str, user: str | None) -> None:
    words = ("sh", "-c", _SCRIPT, "sh", f"{_MARK}={mark}")
    why = "its container has no sh, tr and grep"
    try:
        async with asyncio.timeout(_PATIENCE):
            async with management.exec(container, words, stdin=NOTHING, user=user) as killer:
                async for event in killer:
                    if isinstance(event, Exit) and event.ok:
                        return
    except TimeoutError:
        why = f"that took more than {_PATIENCE:g} s"
    except EngineError as error:
        why = str(error)
    _LOG.warning("a program goes on in its container", extra={"container": container, "why": why})
