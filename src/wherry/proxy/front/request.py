"""A request as it was read: nothing of it is sent on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

from wherry.proxy.front.problems import Refusal

JSON_LIMIT = 1024 * 1024
"""Bytes of a JSON body that are taken at most."""


class Body(Protocol):
    """The framed body of one request, read once."""

    @property
    def length(self) -> int | None:
        """Bytes that were announced; None for a body in chunks, 0 for none."""
        ...

    async def read(self, limit: int = JSON_LIMIT) -> bytes:
        """Return all of it.

        Raises BodyTooLarge (413) beyond ``limit`` bytes, Refusal (408) when it does not come in
        time, and ClientLeft when it is cut.
        """
        ...

    def stream(self, limit: int) -> AsyncIterator[bytes]:
        """Yield it as it comes, at most 64 KiB at a time; raises as :meth:`read` does.

        Nothing is buffered: who does not take the next piece stops the client.
        """
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Who the client is, as far as its connection says."""

    kind: Literal["unix", "tls"]
    certificate: str = ""
    """SHA-256 of the client's certificate in DER, in hex; empty on a unix socket."""
    subject: str = ""
    """Common name of the certificate; empty on a unix socket."""
    pid: int = 0
    """Of the process that connected, as this host numbers it; for the audit log only."""
    uid: int = -1


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client. Its head has been checked byte by byte, its body is framed."""

    method: str
    """A token in upper case."""
    target: bytes
    """The raw request target in origin form: begins with ``/``, visible ASCII without ``#``."""
    headers: tuple[tuple[str, str], ...]
    """Names in lower case, in the order they came."""
    body: Body
    version: Literal["1.0", "1.1"] = "1.1"
    upgrade: Literal["", "tcp", "websocket"] = ""
    """The other protocol that the client asked for. Anything else was refused."""

    def header(self, name: str) -> str | None:
        """Return the value of a header, None without one.

        Raises :class:`Refusal` (400) when it came more than once.
        """
        found = [value for key, value in self.headers if key == name]
        if len(found) > 1:
            raise Refusal(400, f"header {name!r} came {len(found)} times; once is right")
        return found[0] if found else None
