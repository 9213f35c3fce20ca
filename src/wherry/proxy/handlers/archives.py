"""``docker cp``: files out of a container, and into one where the policy lets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry.proxy.policy.build import check_plain_tar
from wherry.proxy.policy.model import CopyIn, Denied, Kind, Named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from wherry.proxy.handlers.call import Call

_HEAD = 512
_MOST = 64 * 1024**3


async def take(call: Call) -> None:
    """Describe a file, or hand out what is below it as a tar."""
    owned = call.container()
    await call.relay(f"/containers/{owned.id}/archive", query=call.query())


async def put(call: Call) -> None:
    """Unpack a plain tar into a container; what is compressed is refused (CVE-2026-41567).

    It is not started between the look whether it runs and the end of the copy.
    """
    owned = call.container()
    query = call.query()
    chunks = call.exchange.request.body.stream(_MOST)
    start = b""
    async for chunk in chunks:
        start += chunk
        if len(start) >= _HEAD:
            break
    check_plain_tar(start[:_HEAD], field="body")
    async with call.scope.turn(owned.id):
        await _check_stopped(call)
        await call.ask_with_body(
            f"/containers/{owned.id}/archive", query=query, body=_joined(start, chunks)
        )


async def _check_stopped(call: Call) -> None:
    scope = call.scope
    _, described = await scope.inspect(Named(Kind.CONTAINER, call.route.name))
    running = bool((described.get("State") or {}).get("Running"))
    if running and scope.policy.copy_in is not CopyIn.ALWAYS:
        raise Denied(
            403, "files are not copied into a container that runs; do it before its start, or "
            "have the policy say copy_in = \"always\"", rule="CVE-2026-41568",
        )  # fmt: skip


async def _joined(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if start:
        yield start
    async for chunk in rest:
        yield chunk
