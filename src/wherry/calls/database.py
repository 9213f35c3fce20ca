"""A SQLite file with one writer: what arrives while it commits is one transaction together."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, Self, TypeVar

from wherry.errors import EngineError, WherryError

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
"""Statements of one write, all or none of which happen."""

_AT_ONCE = 512
"""Operations of one transaction."""
_PATIENCE = 30.0
"""Seconds to wait for the writer of another process."""


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    operation: Operation[T]
    done: asyncio.Future[T]


class Database:
    """Reads and writes from an event loop; what was written is on the disk when it returns.

    Raises :class:`EngineError` when the disk is full or the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="wherry-calls-read")
        self._reader: sqlite3.Connection | None = None
        self._peeker: sqlite3.Connection | None = None
        self._writer = threading.Thread(target=self._work, name="wherry-calls-write", daemon=True)
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the file, or make it: readable by its owner alone."""
        await asyncio.to_thread(lambda: path.touch(0o600))
        made = cls(path)
        made._writer.start()
        return made

    @property
    def is_open(self) -> bool:
        """Whether it can still be written."""
        return not self._closed

    async def write(self, operation: Operation[T]) -> T:
        """Do an operation in a transaction, and return what it returns, once it is durable.

        Raises what it raises, after undoing it. A cancelled caller does not undo it.
        """
        return await self.write_soon(operation)

    def write_soon(self, operation: Operation[T]) -> asyncio.Future[T]:
        """Begin a :meth:`write`."""
        done: asyncio.Future[T] = self._loop.create_future()
        if self._closed:
            done.set_exception(EngineError(f"{self._path}: it was closed"))
        else:
            self._jobs.put(_Job(operation, done))
        return done

    async def read(self, operation: Operation[T]) -> T:
        """Do an operation that changes nothing, beside the writer."""
        return await self._loop.run_in_executor(self._reading, self._read, operation)

    def peek(self, operation: Operation[T]) -> T:
        """Read a row by its key, here and now: a thread would take ten times as long."""
        try:
            if self._peeker is None:
                self._peeker = connect(self._path)
                self._peeker.execute("PRAGMA query_only = ON")
            return operation(self._peeker)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    async def aclose(self) -> None:
        """Write what was asked for, and close the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._peeker is not None:
            self._peeker.close()
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        await self._loop.run_in_executor(self._reading, self._close_reader)
        self._reading.shutdown()

    # ---- in the thread of the reader -------------------------------------------------------

    def _read(self, operation: Operation[T]) -> T:
        try:
            if self._reader is None:
                self._reader = connect(self._path)
                self._reader.execute("PRAGMA query_only = ON")
            return operation(self._reader)
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()

    # ---- in the thread of the writer -------------------------------------------------------

    def _work(self) -> None:
        db: sqlite3.Connection | None = None
        while (batch := self._take()) is not None:
            outcomes: list[tuple[_Job[Any], Any, BaseException | None]]
            try:
                db = db or connect(self._path)
                outcomes = self._commit(db, batch)
            except sqlite3.Error as error:
                failure = self._failure(error)
                outcomes = [(job, None, failure) for job in batch]
            self._report(outcomes)
        if db is not None:
            db.close()

    def _take(self) -> list[_Job[Any]] | None:
        """Wait for a job and return all that are there; None when there will be no more."""
        first = self._jobs.get()
        if first is None:
            return None
        batch = [first]
        while len(batch) < _AT_ONCE:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                self._jobs.put(None)  # seen again once this batch is written
                break
            batch.append(job)
        return batch

    def _commit(
        self, db: sqlite3.Connection, batch: list[_Job[Any]]
    ) -> list[tuple[_Job[Any], Any, BaseException | None]]:
        db.execute("BEGIN IMMEDIATE")
        try:
            # One alone needs no savepoint; each statement less is one turn of the GIL less.
            do = self._do if len(batch) > 1 else self._do_alone
            outcomes = [do(db, job) for job in batch]
            if db.in_transaction:
                db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        return outcomes

    def _do_alone(
        self, db: sqlite3.Connection, job: _Job[Any]
    ) -> tuple[_Job[Any], Any, BaseException | None]:
        try:
            return job, job.operation(db), None
        except Exception as error:
            if not db.in_transaction:  # SQLite itself has undone everything: the disk is full
                raise
            db.execute("ROLLBACK")
            return job, None, self._told(error)

    def _do(
        self, db: sqlite3.Connection, job: _Job[Any]
    ) -> tuple[_Job[Any], Any, BaseException | None]:
        db.execute("SAVEPOINT job")
        try:
            value = job.operation(db)
        except Exception as error:
            if not db.in_transaction:  # SQLite itself has undone everything: the disk is full
                raise
            db.execute("ROLLBACK TO job")
            db.execute("RELEASE job")
            return job, None, self._told(error)
        db.execute("RELEASE job")
        return job, value, None

    def _report(self, outcomes: list[tuple[_Job[Any], Any, BaseException | None]]) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, outcomes)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return

    def _told(self, error: Exception) -> Exception:
        return self._failure(error) if isinstance(error, sqlite3.Error) else error

    def _failure(self, error: sqlite3.Error) -> WherryError:
        return EngineError(f"{self._path}: {error}; is the disk full, or the file damaged?")


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection for the thread that uses it; transactions are begun by hand."""
    db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    return db


def _settle(outcomes: list[tuple[_Job[Any], Any, BaseException | None]]) -> None:
    for job, value, error in outcomes:
        if job.done.done():
            continue
        if error is not None:
            job.done.set_exception(error)
        else:
            job.done.set_result(value)
