"""Many calls, one for each file: bounded, and each output whole or not there."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from wherry import streams
from wherry.cli import call_options, ending, engines, printing, progress, standard
from wherry.cli.ending import Ended
from wherry.cli.signals import Signals
from wherry.client import AsyncClient
from wherry.errors import EngineError, UsageError, WherryError
from wherry.models import Exit, Output

if TYPE_CHECKING:
    import argparse

    from wherry.models import Function

_SOME_FAILED = 1
_TAIL = 16 * 1024
"""Bytes of the end of each container's stderr that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One input and where its output goes."""

    source: Path
    target: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What came of one call."""

    job: Job
    exit: Exit | None
    """None: our failure, and not the function's."""
    problem: str
    """Empty when it succeeded."""
    stderr: str


async def call_all(function: Function, args: argparse.Namespace) -> int:
    """Call a function for every file of the list on stdin; return the exit code."""
    signals = Signals()
    jobs = plan(_listed(null=args.null), out=Path(args.out_dir), suffix=args.suffix)
    places = min(len(jobs), _places(args.max_procs))
    done: list[Done] = []

    def take(result: Done) -> None:
        done.append(result)
        for line in () if args.quiet else result.stderr.splitlines():
            bar.say(f"{result.job.source}: {line}")
        bar.advance()
        if args.json:
            standard.emit(_json_line(result))

    try:
        async with AsyncClient(engines.open_for_calls(args)) as client:
            if jobs:
                await client.prepare(function)
            with progress.shown(len(jobs), quiet=args.quiet) as bar:
                await _work(jobs, lambda job: _call(client, function, job), take, places=places)
    except asyncio.CancelledError:
        raise Ended(by=signals.ending or signal.SIGINT) from None
    return _summary(done)


async def _work(
    jobs: Iterable[Job],
    work: Callable[[Job], Awaitable[Done]],
    take: Callable[[Done], None],
    *,
    places: int,
) -> None:
    """Do all jobs, so many at one time; a slow one keeps nothing else waiting."""
    left = iter(jobs)

    async def worker() -> None:
        for job in left:
            take(await work(job))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(places):
                group.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def plan(paths: Iterable[Path], *, out: Path, suffix: str | None) -> list[Job]:
    """Return a job for each path; raises :class:`UsageError` where two would write one file."""
    jobs: dict[Path, Job] = {}
    for source in paths:
        name = source.name if suffix is None else source.stem + suffix
        job = Job(source=source, target=out / name)
        if not source.name:
            raise UsageError(f"{str(source)!r} is not the path of a file")
        if (other := jobs.get(job.target)) is not None:
            raise UsageError(
                f"{str(other.source)!r} and {str(source)!r} would both be written to "
                f"{str(job.target)!r}"
            )
        jobs[job.target] = job
    if jobs:
        out.mkdir(parents=True, exist_ok=True)
    return list(jobs.values())


async def _call(client: AsyncClient, function: Function, job: Job) -> Done:
    """Make one call; what goes wrong with it is its own result."""
    said = streams.Tail(_TAIL)
    try:
        exit_ = await _streamed(client, function, job, said)
    except (WherryError, OSError) as error:
        return Done(job=job, exit=None, problem=ending.describe(error), stderr=_text(said))
    problem = "" if exit_.ok else exit_.describe()
    return Done(job=job, exit=exit_, problem=problem, stderr=_text(said))


async def _streamed(client: AsyncClient, function: Function, job: Job, said: streams.Tail) -> Exit:
    with job.source.open("rb") as source, _whole(job.target) as target:
        async with client.start(function, input=source) as container:
            async for event in container:
                match event:
                    case Output("stdout", data):
                        target.file.write(data)
                    case Output("stderr", data):
                        said.add(data)
                    case Exit() as ended:
                        target.keep = ended.ok
                        return ended
    raise EngineError(f"{job.source}: the events of its container ended without an exit")


@dataclass(slots=True)
class _Target:
    file: IO[bytes]
    keep: bool = False


@contextmanager
def _whole(path: Path) -> Iterator[_Target]:
    """Open a file that gets its name when it is complete, and is gone otherwise."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            target = _Target(file)
            yield target
        if target.keep:
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _listed(*, null: bool) -> list[Path]:
    """Read the whole list: what is wrong with it is told before anything runs."""
    if os.isatty(standard.STDIN):
        standard.say("wherry map: the paths of files, one a line, then Ctrl-D")
    separator = b"\0" if null else b"\n"
    names = sys.stdin.buffer.read().split(separator)
    return [Path(os.fsdecode(name)) for name in names if name]


def _places(text: str | None) -> int:
    if text is None:
        return 2 * (os.cpu_count() or 1)
    return call_options.whole(text, option="--max-procs")


def _summary(done: list[Done]) -> int:
    failed = [one for one in done if one.problem]
    for one in failed:
        standard.say(printing.printable(f"wherry map: {one.job.source}: {one.problem}"))
    if not failed:
        return 0
    standard.say(f"wherry map: {len(failed)} of {len(done)} failed")
    return _SOME_FAILED


def _json_line(done: Done) -> str:
    import json

    fields = {
        "input": str(done.job.source),
        "output": str(done.job.target) if not done.problem else None,
        "exit_code": done.exit.code if done.exit else None,
        "reason": done.exit.reason if done.exit else None,
        "problem": done.problem or None,
        "stderr": done.stderr,
    }
    return json.dumps(fields) + "\n"


def _text(said: streams.Tail) -> str:
    return said.value().decode(errors="replace")
