"""What came of a pipeline."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from wherry.errors import FunctionError
from wherry.models import Exit, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Result):
    """One stage of a pipeline. Its ``stdout`` is empty, but for the last one's: it went on."""

    cut: bool = False
    """Whether it was ended because the stages after it read no further, as by SIGPIPE in a shell;
    that is no failure."""

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0, or because nobody read any more."""
        return self.cut or self.exit.ok


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineResult:
    """A finished, collected pipeline."""

    id: str
    stages: tuple[Stage, ...]
    """In the order of the data."""
    stdout: bytes = field(repr=False)
    """What the last stage wrote."""
    duration: float
    """Seconds from the call to the end of the last of them."""
    failed: Stage | None = None
    """The first stage that failed, which ended the others."""

    @property
    def ok(self) -> bool:
        """Whether no stage failed."""
        return self.failed is None

    @property
    def exit(self) -> Exit:
        """How the stage ended that failed first, else how the last one did."""
        return (self.failed or self.stages[-1]).exit

    @property
    def text(self) -> str:
        """Stdout as text; bytes that are no UTF-8 become U+FFFD."""
        return self.stdout.decode(errors="replace")

    def check(self) -> PipelineResult:
        """Return self when no stage failed, raise :class:`FunctionError` of that stage otherwise.

        The error's ``stdout`` is what the pipeline had written by then.
        """
        if self.failed is not None:
            raise FunctionError(dataclasses.replace(self.failed, stdout=self.stdout))
        return self
