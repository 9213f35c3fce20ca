"""What belongs to whom, by full id: the proxy's own authority, on disk.

Labels can be forged (an image's labels become those of its containers) and names are ambiguous,
so neither decides. Everything is in memory as well: reads take constant time and never wait.
A write is in the file when its method returns, and outlives this process however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from wherry.errors import Conflict, EngineError, NotFound
from wherry.proxy.tenants.model import Amounts, Kind, Owned, Pending, Tenant, amounts_of

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS tenants (
    name TEXT PRIMARY KEY, document TEXT NOT NULL
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (kind, id, tenant)
) WITHOUT ROWID, STRICT;
CREATE TABLE IF NOT EXISTS pending (
    nonce TEXT PRIMARY KEY, document TEXT NOT NULL
) WITHOUT ROWID, STRICT;
"""
_VERSION = 1
_PATIENCE = 2.0
_REMEMBERED = 1024


class Registry:
    """Tenants and what they own. One process has it at a time.

    Raises :class:`EngineError` for a file that cannot be used or that another process has.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self._path = directory / "registry.db"
        self._lock = _locked(directory)
        try:
            with self._translated():
                self._connection = self._connect()
                self._load()
        except BaseException:
            self._lock.close()
            raise

    def close(self) -> None:
        """Close the file, and let another process have it. Idempotent."""
        self._connection.close()
        self._lock.close()

    def claim(self, engine: str) -> None:
        """Note whose objects these are, by the engine's own id; raises :class:`Conflict`.

        On another engine nothing would be found, and all of it forgotten.
        """
        with self._translated():
            self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('engine', ?)", (engine,))
            self._connection.commit()
            ((known,),) = self._connection.execute("SELECT value FROM facts WHERE name = 'engine'")
        if known != engine:
            raise Conflict(
                f"{self.directory} holds tenants of another engine ({known}); use that, or another "
                "name or --data-dir"
            )

    # ---- tenants -------------------------------------------------------------------------

    @property
    def instance(self) -> str:
        """32 hexadecimal digits that no other registry has: part of the labels of ours."""
        return str(self._instance)

    def tenants(self) -> list[Tenant]:
        """Return all tenants, parents before their children."""
        return sorted(self._tenants.values(), key=lambda tenant: (tenant.depth, tenant.created))

    def tenant(self, name: str) -> Tenant:
        """Return a tenant; raises :class:`NotFound`."""
        try:
            return self._tenants[name]
        except KeyError:
            raise NotFound(f"there is no tenant {name!r}") from None

    def has(self, name: str) -> bool:
        """Whether there is a tenant of that name."""
        return name in self._tenants

    def put(self, tenant: Tenant) -> None:
        """Keep a tenant in place of the one of its name."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO tenants VALUES (?, ?)",
                (tenant.name, json.dumps(asdict(tenant))),
            )
        self._tenants[tenant.name] = tenant

    def remove(self, name: str) -> None:
        """Forget a tenant with everything that it owns or has asked for.

        What is abandoned stays until it is settled: an engine may yet make it.
        """
        with self._writing() as connection:
            connection.execute("DELETE FROM tenants WHERE name = ?", (name,))
            connection.execute("DELETE FROM objects WHERE tenant = ?", (name,))
            mine = [(p.nonce,) for p in self._pending.values()
                    if p.tenant == name and p.nonce not in self.abandoned]  # fmt: skip
            connection.executemany("DELETE FROM pending WHERE nonce = ?", mine)
        self._tenants.pop(name, None)
        self._objects.pop(name, None)
        self._uses.pop(name, None)
        for (nonce,) in mine:
            del self._pending[nonce]

    def lineage(self, name: str) -> list[Tenant]:
        """Return a tenant and those above it, itself first."""
        found = [self.tenant(name)]
        while found[-1].parent and found[-1].parent in self._tenants:
            found.append(self._tenants[found[-1].parent])
        return found

    def below(self, name: str) -> list[Tenant]:
        """Return the tenants below one, the deepest first."""
        found: list[Tenant] = []
        for tenant in self.tenants():
            if tenant.parent == name or tenant.parent in {each.name for each in found}:
                found.append(tenant)
        return found[::-1]

    # ---- objects -------------------------------------------------------------------------

    def get(self, kind: Kind, id_: str, *, tenant: str) -> Owned | None:
        """Return an object when it is this tenant's, by its full id."""
        return self._objects[tenant].get((kind, id_)) if tenant in self._objects else None

    def owned(self, tenant: str, kind: Kind | None = None) -> list[Owned]:
        """Return what a tenant owns, the oldest first."""
        found = self._objects.get(tenant, {}).values()
        return [owned for owned in found if kind is None or owned.kind == kind]

    def ids(self, tenant: str, kind: Kind) -> set[str]:
        """Return the full ids of what a tenant owns of one kind."""
        return {id_ for of, id_ in self._objects.get(tenant, ()) if of == kind}

    def holders(self, kind: Kind, id_: str) -> list[Owned]:
        """Return every tenant's entry of an object; an image may have several."""
        return [found for mine in self._objects.values() if (found := mine.get((kind, id_)))]

    def had(self, kind: Kind, id_: str, *, tenant: str) -> bool:
        """Whether an object is this tenant's, or was until a moment ago: events come late."""
        return self.get(kind, id_, tenant=tenant) is not None or (kind, id_, tenant) in self._gone

    def named(self, tenant: str, kind: Kind, *, name: str) -> Owned | None:
        """Return what a tenant calls so."""
        for owned in self.owned(tenant, kind):
            if owned.name == name:
                return owned
        return None

    def record(self, owned: Owned, *, nonce: str | None = None) -> None:
        """Keep an object, in place of what was pending under ``nonce``: both or neither."""
        with self._writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
                (owned.kind, owned.id, owned.tenant, json.dumps(_document(owned))),
            )
            if nonce is not None:
                connection.execute("DELETE FROM pending WHERE nonce = ?", (nonce,))
        self._keep(owned)
        if nonce is not None and (pending := self._pending.pop(nonce, None)):
            self._uses[pending.tenant] -= pending.amounts

    def forget(self, kind: Kind, id_: str, *, tenant: str) -> None:
        """Forget an object, and what ends with it. Harmless when it is not there."""
        mine = self._objects.get(tenant, {})
        gone = [(kind, id_)] if (kind, id_) in mine else []
        if kind == "container":
            gone += [
                (o.kind, o.id) for o in mine.values() if o.kind == "exec" and o.container == id_
            ]
        if not gone:
            return
        with self._writing() as connection:
            connection.executemany(
                "DELETE FROM objects WHERE kind = ? AND id = ? AND tenant = ?",
                [(of, one, tenant) for of, one in gone],
            )
        for key in gone:
            self._uses[tenant] -= mine.pop(key).amounts
            self._gone.append((*key, tenant))

    def rename(self, owned: Owned, name: str) -> None:
        """Change what its tenant calls an object, as it is on record now; what is gone stays so."""
        current = self.get(owned.kind, owned.id, tenant=owned.tenant)
        if current is not None:
            self.record(replace(current, name=name))

    def ended(self, owned: Owned) -> None:
        """Keep an exec that has ended, for its exit code; it takes nothing any more."""
        current = self.get(owned.kind, owned.id, tenant=owned.tenant)
        if current is not None and current.amounts != Amounts():
            self.record(replace(current, amounts=Amounts()))

    # ---- the quota -----------------------------------------------------------------------

    def uses(self, tenant: str) -> Amounts:
        """Return what a tenant's own objects take, with those that are pending."""
        return self._uses[tenant]

    def pending(self) -> list[Pending]:
        """Return what was asked for, and is neither recorded nor given up."""
        return list(self._pending.values())

    def intend(self, pending: Pending) -> None:
        """Keep that something is about to be made."""
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO pending VALUES (?, ?)",
                (pending.nonce, json.dumps(_document(pending))),
            )
        self._pending[pending.nonce] = pending
        self._uses[pending.tenant] += pending.amounts

    def give_up(self, nonce: str) -> None:
        """Forget something pending. Harmless when it is not."""
        if nonce not in self._pending:
            return
        with self._writing() as connection:
            connection.execute("DELETE FROM pending WHERE nonce = ?", (nonce,))
        pending = self._pending.pop(nonce)
        self.abandoned.discard(nonce)
        self._uses[pending.tenant] -= pending.amounts

    def abandon(self, nonce: str) -> None:
        """Note that nobody waits for something pending: whether it was made is to be found out."""
        if nonce in self._pending:
            self.abandoned.add(nonce)

    # ---- the file ------------------------------------------------------------------------

    def _keep(self, owned: Owned) -> None:
        mine = self._objects[owned.tenant]
        if before := mine.get((owned.kind, owned.id)):
            self._uses[owned.tenant] -= before.amounts
        mine[owned.kind, owned.id] = owned
        self._uses[owned.tenant] += owned.amounts

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE)
        self._path.chmod(0o600)
        # What the kernel has outlives our own end, which is all that is asked here: an object
        # that a power cut took from the file still has its labels, and its engine has rebooted.
        for setting in ("journal_mode = WAL", "synchronous = NORMAL"):
            connection.execute(f"PRAGMA {setting}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            connection.close()
            raise EngineError(f"{self._path} was written by a newer wherry; use that")
        connection.executescript(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
        return connection

    def _load(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._objects: dict[str, dict[tuple[Kind, str], Owned]] = defaultdict(dict)
        self._pending: dict[str, Pending] = {}
        self.abandoned: set[str] = set()
        """Nonces of what nobody waits for."""
        self._gone: deque[tuple[Kind, str, str]] = deque(maxlen=_REMEMBERED)
        self._uses: dict[str, Amounts] = defaultdict(Amounts)
        rows = self._connection.execute
        with self._connection:
            rows("INSERT OR IGNORE INTO facts VALUES ('instance', ?)", (os.urandom(16).hex(),))
        ((self._instance,),) = rows("SELECT value FROM facts WHERE name = 'instance'")
        for (text,) in rows("SELECT document FROM tenants"):
            tenant = Tenant(**json.loads(text))
            self._tenants[tenant.name] = tenant
        for (text,) in rows("SELECT document FROM objects"):
            document = json.loads(text)
            self._keep(Owned(**{**document, "amounts": amounts_of(document["amounts"])}))
        for (text,) in rows("SELECT document FROM pending"):
            document = json.loads(text)
            pending = Pending(**{**document, "amounts": amounts_of(document["amounts"])})
            self._pending[pending.nonce] = pending
            self._uses[pending.tenant] += pending.amounts

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._translated(), self._connection:
            yield self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise EngineError(f"{self._path} cannot be used: {error}") from error


def _locked(directory: Path) -> IO[bytes]:
    lock = (directory / "lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise EngineError(
            f"{directory} is in use by another process; stop that proxy, or use another name"
        ) from error
    return lock


def _document(value: Owned | Pending) -> dict[str, object]:
    return {**asdict(value), "amounts": value.amounts.items()}
