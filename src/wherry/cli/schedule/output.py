"""What a run wrote, as it would have been seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wherry.cli import invoking, standard
from wherry.cli.schedule import path

if TYPE_CHECKING:
    from wherry.cli.gateway_client import Gateway

_FAILED = 125


async def show(gateway: Gateway, name: str, *, run: dict[str, Any]) -> int:
    """Print stdout to stdout and stderr to stderr; return the run's own exit code."""
    at = path.of(name, f"/runs/{gateway_segment(run)}")
    async with gateway.open("GET", f"{at}/stdout") as answer:
        await answer.check()
        await invoking.relay(answer)
    async with gateway.open("GET", f"{at}/stderr") as answer:
        await answer.check()
        text = (await answer.read()).decode(errors="replace")
        if text:
            standard.say(text.removesuffix("\n"))
    if run["status"] == "succeeded":
        return 0
    if run["status"] in ("waiting", "running"):
        standard.say(f"wherry: schedule {name!r}: this run goes on; that is what it wrote by now")
        return 0
    standard.say(f"wherry: schedule {name!r} {run['status']}: {run.get('error', 'no reason')}")
    return int(run.get("exitCode") or _FAILED)


def gateway_segment(run: dict[str, Any]) -> str:
    """Return the id of a run as a part of a path."""
    from wherry.cli.gateway_client import segment

    return segment(str(run["id"]))
