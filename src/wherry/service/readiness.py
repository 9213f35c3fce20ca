"""Which containers of which functions are kept ready, and until when."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from wherry.models import Ready

if TYPE_CHECKING:
    from wherry.client import AsyncClient
    from wherry.functions.model import Deployed
    from wherry.models import Function

_log = logging.getLogger(__name__)
T = TypeVar("T")
_MOST_BY_DEFAULT = 32
"""Functions that have ready containers although nobody asked for them, at one time."""
_NONE = Ready(min=0, max=0)


@dataclasses.dataclass(slots=True)
class _Kept:
    deployed: Deployed
    awake: Function
    """With its ready containers."""
    asleep: Function
    """Without."""
    is_awake: bool = False
    timer: asyncio.TimerHandle | None = None
    preparing: asyncio.Task[bool] | None = None


class Readiness:
    """Keeps containers of functions ready while they are used.

    A function has one ready container after its deploy unless it says otherwise, gives it up
    after ``idle`` seconds without a call when it may go to zero, and gets it back with its next
    call. Where nobody asked for ready containers, only the functions that were used last have
    any.
    """

    def __init__(self, client: AsyncClient, *, idle: float) -> None:
        self._client = client
        self._idle = idle
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    def wanted(self, deployed: Deployed) -> int:
        """Return how many containers are to be ready now."""
        kept = self._kept.get(deployed.qualified)
        if kept is None or not kept.is_awake or kept.awake.ready is None:
            return 0
        return kept.awake.ready.min

    def is_prepared(self, deployed: Deployed) -> bool:
        """Whether a function is in use, and what its first call needs is there."""
        kept = self._kept.get(deployed.qualified)
        if kept is None or not kept.is_awake:
            return False
        preparing = kept.preparing
        if preparing is None:
            return True
        return preparing.done() and not preparing.cancelled() and preparing.result()

    def changed(self, qualified: str, deployed: Deployed | None) -> None:
        """Follow a deployment, a scaling or a removal."""
        if deployed is None or deployed.deployment.pipe:  # a pipe has no containers of its own
            if (kept := self._kept.pop(qualified, None)) is not None and kept.timer:
                kept.timer.cancel()
            self._spawn(self._forget(qualified))
            return
        kept = self._keep(deployed)
        if deployed.function.ready is None or is_explicit(deployed):
            self._wake(kept)
            kept.preparing = self._spawn(self._prepare(kept.awake))
        else:
            self._sleep(kept)

    def restored(self, deployed: Deployed) -> None:
        """Take up a function after a start: ready only where that was asked for explicitly."""
        if deployed.deployment.pipe:
            return
        kept = self._keep(deployed)
        if is_explicit(deployed):
            self._wake(kept)
            kept.preparing = self._spawn(self._prepare(kept.awake))

    def used(self, deployed: Deployed) -> Function:
        """Return what is to be called now, and note that it is."""
        kept = self._kept.get(deployed.qualified)
        if kept is None or kept.deployed is not deployed:
            kept = self._keep(deployed)
        self._kept.move_to_end(deployed.qualified)
        if not kept.is_awake:
            self._wake(kept)
        elif kept.timer is not None:
            self._rest(kept)
        return kept.awake if kept.is_awake else kept.asleep

    async def aclose(self) -> None:
        """Stop all timers and what is being prepared. Idempotent."""
        self._closed = True
        for kept in self._kept.values():
            if kept.timer is not None:
                kept.timer.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _keep(self, deployed: Deployed) -> _Kept:
        before = self._kept.get(deployed.qualified)
        if before is not None and before.timer is not None:
            before.timer.cancel()
        if before is not None and before.preparing is not None:
            before.preparing.cancel()  # or it would ask for the containers of before once more
        kept = _Kept(
            deployed=deployed,
            awake=dataclasses.replace(deployed.function, ready=ready_in_use(deployed)),
            asleep=dataclasses.replace(deployed.function, ready=_NONE),
        )
        self._kept[deployed.qualified] = kept
        return kept

    def _wake(self, kept: _Kept) -> None:
        kept.is_awake = True
        self._rest(kept)
        if not is_explicit(kept.deployed):
            self._make_room(kept)

    def _rest(self, kept: _Kept) -> None:
        """Start to count the seconds without a call anew."""
        if kept.timer is not None:
            kept.timer.cancel()
            kept.timer = None
        if not self._closed and may_rest(kept.deployed):
            loop = asyncio.get_running_loop()
            kept.timer = loop.call_later(self._idle, self._sleep, kept)

    def _sleep(self, kept: _Kept) -> None:
        kept.is_awake = False
        if kept.timer is not None:
            kept.timer.cancel()
            kept.timer = None
        self._client.define_ready(kept.asleep)

    def _make_room(self, newest: _Kept) -> None:
        unasked = [k for k in self._kept.values() if k.is_awake and not is_explicit(k.deployed)]
        for kept in unasked[: max(0, len(unasked) - _MOST_BY_DEFAULT)]:
            if kept is not newest:
                self._sleep(kept)

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _prepare(self, function: Function) -> bool:
        """Prepare; return whether that could be done."""
        try:
            await self._client.prepare(function)
        except Exception as error:  # noqa: BLE001 - its first call says the same to its caller
            _log.warning(
                "a function could not be made ready",
                extra={"function": function.name, "error": str(error)},
            )
            return False
        return True

    async def _forget(self, qualified: str) -> None:
        await self._client.forget(qualified)


def is_explicit(deployed: Deployed) -> bool:
    """Whether somebody asked for its ready containers, by a label or by scaling."""
    ready = deployed.function.ready
    return ready is not None and ready.min > 0


def ready_in_use(deployed: Deployed) -> Ready:
    """Return the ready containers of a function that is used.

    One that was scaled to none comes back with its next call, as in OpenFaaS; one that was
    deployed with none has none.
    """
    ready = deployed.function.ready
    if deployed.settings.docker_api is not None:  # its socket is one call's own
        return _NONE
    if ready is not None and (ready.min > 0 or deployed.settings.ready is not None):
        return ready
    # A program made for Funker listens before its call; what it does until then is done.
    return Ready(min=1, level="created" if deployed.settings.funker is None else "started")


def may_rest(deployed: Deployed) -> bool:
    """Whether it gives up its ready containers when nobody calls it."""
    asked = "com.openfaas.scale.zero" in deployed.labels
    return deployed.settings.scale_to_zero and (asked or not is_explicit(deployed))
