"""What a registry holds, read by somebody else than the proxy that has it."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import EngineError
from wherry.proxy.tenants.model import KINDS, Kind, Tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One tenant on record."""

    tenant: Tenant
    counts: Mapping[Kind, int]
    is_served: bool
    """Whether a proxy has it now."""


def kept_in(directory: Path) -> list[Kept]:
    """Return the tenants of a proxy's directory; raises :class:`EngineError`."""
    path = directory / "registry.db"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=2.0)) as file:
            tenants = [Tenant(**json.loads(text)) for (text,) in
                       file.execute("SELECT document FROM tenants ORDER BY name")]  # fmt: skip
            counted = {
                (tenant, kind): count
                for tenant, kind, count in file.execute(
                    "SELECT tenant, kind, count(*) FROM objects GROUP BY tenant, kind"
                )
            }
    except sqlite3.Error as error:
        raise EngineError(f"{path} cannot be read: {error}") from error
    served = is_held(directory)
    return [
        Kept(
            tenant=tenant,
            counts={kind: counted.get((tenant.name, kind), 0) for kind in KINDS},
            is_served=served,
        )
        for tenant in tenants
    ]


def is_held(directory: Path) -> bool:
    """Whether a process has a proxy's directory."""
    with (directory / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
