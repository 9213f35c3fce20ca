"""What is kept of functions and namespaces in SQLite. Blocking; one process has it at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import EngineError
from wherry.images.files import sync_directory

MIGRATIONS = (
    """
    CREATE TABLE functions (
        namespace TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        created REAL NOT NULL,
        source TEXT NOT NULL,
        replicas INTEGER,
        PRIMARY KEY (namespace, name)
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE namespaces (name TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID, STRICT;
    CREATE TABLE invocations (
        function TEXT PRIMARY KEY,
        number INTEGER NOT NULL
    ) WITHOUT ROWID, STRICT;
    """,
)
"""The steps from an empty file to today's tables; ``user_version`` is how many were taken."""

_PATIENCE = 2.0
"""Seconds to wait for another process that has the file, such as a server about to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One function as it is kept."""

    namespace: str
    name: str
    document: str
    """JSON of its :class:`~wherry.functions.model.Deployment`."""
    created: float
    source: str
    replicas: int | None
    """What scaling asked for."""


class Database:
    """The file; each write is durable when its method returns.

    Raises :class:`EngineError` for a file that cannot be used, saying why and what to do.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._translated():
            self._connection = _connect(path)
        try:
            with self._translated():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._translated():
            self._connection.close()

    def functions(self) -> list[Row]:
        """Return all functions."""
        with self._translated():
            found = self._connection.execute(
                "SELECT namespace, name, document, created, source, replicas FROM functions"
            ).fetchall()
        return [
            Row(namespace=ns, name=name, document=document, created=created, source=source,
                replicas=replicas)
            for ns, name, document, created, source, replicas in found
        ]  # fmt: skip

    def put(self, row: Row) -> None:
        """Keep a function in place of the one of its name."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO functions VALUES (?, ?, ?, ?, ?, ?)",
                (row.namespace, row.name, row.document, row.created, row.source, row.replicas),
            )

    def remove(self, name: str, *, namespace: str) -> None:
        """Forget a function and how often it was called."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM functions WHERE namespace = ? AND name = ?", (namespace, name)
            )
            connection.execute(
                "DELETE FROM invocations WHERE function = ?", (f"{name}.{namespace}",)
            )

    def namespaces(self) -> dict[str, str]:
        """Return name to document."""
        with self._translated():
            return dict(self._connection.execute("SELECT name, document FROM namespaces"))

    def put_namespace(self, name: str, document: str) -> None:
        """Keep a namespace in place of the one of its name."""
        with self._writing() as connection:
            connection.execute("INSERT OR REPLACE INTO namespaces VALUES (?, ?)", (name, document))

    def remove_namespace(self, name: str) -> None:
        """Forget a namespace."""
        with self._writing() as connection:
            connection.execute("DELETE FROM namespaces WHERE name = ?", (name,))

    def invocations(self) -> dict[str, int]:
        """Return qualified name to number of calls."""
        with self._translated():
            return dict(self._connection.execute("SELECT function, number FROM invocations"))

    def put_invocations(self, numbers: Mapping[str, int]) -> None:
        """Keep how often functions were called."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO invocations VALUES (?, ?)", numbers.items()
            )

    def _prepare(self) -> None:
        # Exclusive before WAL: what we hold in memory stays true, and there is no shared memory
        # file that a crash could leave. https://sqlite.org/wal.html#noshm
        for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {setting}")
        self._connection.execute("BEGIN IMMEDIATE")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise EngineError(
                f"{self._path} was written by a newer wherry (its version is {version}, this one "
                f"knows {len(MIGRATIONS)}); use that, or another --data-dir"
            )
        self._connection.execute("COMMIT")
        for number, step in enumerate(MIGRATIONS[version:], version + 1):
            script = f"BEGIN; {step}; PRAGMA user_version = {number}; COMMIT;"
            self._connection.executescript(script)
        (verdict,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._damaged(verdict)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._connection:
            yield self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                raise EngineError(
                    f"{self._path} is in use by another process; stop the other server, or use "
                    "another --data-dir"
                ) from error
            raise EngineError(f"{self._path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from error

    def _damaged(self, reason: str) -> EngineError:
        return EngineError(
            f"{self._path} is damaged: {reason}; restore it from a backup, or move it away and "
            "deploy the functions again"
        )


def _connect(path: Path) -> sqlite3.Connection:
    is_new = not path.exists()
    connection = sqlite3.connect(path, timeout=_PATIENCE, check_same_thread=False)
    try:
        path.chmod(0o600)
        if is_new:
            sync_directory(path.parent)
    except OSError:
        connection.close()
        raise
    return connection
