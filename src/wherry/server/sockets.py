"""The sockets a server listens on, bound by ourselves: unix ones with a mode, names in full."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wherry.errors import EngineError, UsageError
from wherry.web.unix import bind_unix

_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Listener:
    """One bound socket."""

    socket: socket.socket
    address: str
    """As people write it: ``127.0.0.1:8080`` or ``unix:/run/wherry.sock``."""
    path: Path | None = None
    """Of a unix socket, removed when it is closed."""

    def close(self) -> None:
        """Close it, and remove its file if that is still its own."""
        self.socket.close()
        if self.path is not None:
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()


def bind(listen: Sequence[str], *, mode: int = 0o600) -> list[Listener]:
    """Bind every address, or none. Raises :class:`UsageError`, or :class:`EngineError`."""
    bound: list[Listener] = []
    try:
        for text in listen:
            bound += _unix(text, mode=mode) if _is_unix(text) else _tcp(text)
    except BaseException:
        for listener in bound:
            listener.close()
        raise
    return bound


def _is_unix(text: str) -> bool:
    return text.startswith(("unix:", "/", "./"))


def _unix(text: str, *, mode: int) -> Iterator[Listener]:
    path = Path(text.removeprefix("unix:").removeprefix("//")).absolute()
    if not text.removeprefix("unix:"):
        raise UsageError(f"--listen: {text!r} must be unix:PATH")
    opened = bind_unix(path, mode=mode, backlog=_BACKLOG, field="--listen: ")
    yield Listener(opened, f"unix:{path}", path)


def _tcp(text: str) -> list[Listener]:
    host, port = parse_address(text)
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise UsageError(f"--listen: {host!r} is no address of this machine: {error}") from error
    bound: list[Listener] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            if not host and bound and not _is_known(family, kind):
                continue  # a kernel without IPv6, whose library still lists it
            where = (str(address[0]), port or (bound[0].socket.getsockname()[1] if bound else 0))
            bound.append(_bound(family, kind, protocol=protocol, where=where))
    except BaseException:
        for listener in bound:
            listener.close()
        raise
    return bound


def _is_known(family: int, kind: int) -> bool:
    try:
        socket.socket(family, kind).close()
    except OSError as error:
        return error.errno != errno.EAFNOSUPPORT
    return True


def _bound(family: int, kind: int, *, protocol: int, where: tuple[str, int]) -> Listener:
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.bind(where)
        opened.listen(_BACKLOG)
    except OSError as error:
        opened.close()
        raise EngineError(
            f"--listen: {where[0]} port {where[1]} cannot be bound: {error.strerror or error}"
        ) from error
    host, port = opened.getsockname()[:2]
    return Listener(opened, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def parse_address(text: str) -> tuple[str, int]:
    """Return (host, port) of ``HOST:PORT``, ``[V6]:PORT`` or ``:PORT``, which is every address."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UsageError(f"--listen: {text!r} must be [{text}]:PORT, if that is an IPv6 address")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--listen: {text!r} must be HOST:PORT or unix:PATH")
    return host, int(port)
