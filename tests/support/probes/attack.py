"""What an attack from outside of a container finds: images, mounts and collected files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wherry.errors import WherryError

if TYPE_CHECKING:
    from tests.support.probes.stage import Said, Stage

Verdict = Literal["contained", "harmless", "refused", "open", "escaped", "unclear"]
Attack = Callable[["Stage"], Awaitable["Finding"]]


@dataclass(frozen=True)
class Finding:
    """How one probe went, and how one knows."""

    verdict: Verdict
    evidence: str


def matches(found: Verdict, expected: Verdict) -> bool:
    """Whether a verdict is the expected one: where a wall is known to be open, one gets out."""
    return found == expected or (expected == "open" and found == "escaped")


def contained(evidence: str) -> Finding:
    return Finding("contained", evidence)


def escaped(evidence: str) -> Finding:
    return Finding("escaped", evidence)


async def outcome(call: Awaitable[Said]) -> str:
    """Return what was said, or the kind of error there was instead."""
    try:
        said = await call
    except WherryError as error:
        return f"{type(error).__name__}: {error}"
    return said.everything


def kind(text: str) -> str:
    """Shorten an outcome to a word for the evidence."""
    name = text.partition(":")[0]
    return name if name.isidentifier() and name.endswith(("Error", "Corrupt")) else "ran"


class Watch:
    """The host before and after: whatever an attack says of itself, this is what it did."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._before = stage.snapshot()
        self._token = stage.token
        self.outcomes: list[str] = []
        self.problems: list[str] = []

    async def attempt(self, what: str, call: Awaitable[Said]) -> str:
        """Await one attempt, and look at what came of it."""
        text = await outcome(call)
        self.outcomes.append(kind(text))
        if self._token in text:
            self.problems.append(f"{what}: read the host's file")
        after = self._stage.snapshot()
        if after != self._before:
            changed = sorted(dict(after.items() ^ self._before.items()))
            self.problems.append(f"{what}: changed {changed} on the host")
            self._before = after
        return text

    def finding(self) -> Finding:
        if self.problems:
            return escaped("; ".join(self.problems))
        counts = {word: self.outcomes.count(word) for word in dict.fromkeys(self.outcomes)}
        said = ", ".join(f"{count} {word}" for word, count in counts.items())
        return contained(f"host unchanged after {said}")
