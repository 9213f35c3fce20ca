"""The way into a container that has no network: one unix socket, through which connections go.

A door is a directory of the host that a container gets to see. In it are the relay (see
``engines/local/native/relay.c``), which the container starts with, and a socket that the relay
connects to, once. Connections are then handed to it through that line, so that nothing of the
host's ever follows a name that the container could have made.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from pathlib import Path

from wherry.engines.relay import ACCEPTED, RELAY, UP, has_relay
from wherry.errors import EngineError, Unsupported
from wherry.images.locks import acquire
from wherry.models import Mount

INSIDE = "/run/wherry"
"""Where a container has its door."""
_LOCK = "lock"


class Doors:
    """Where the doors of this process are; what processes that are gone left there is removed."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is made when it is missing, for those whom its parent lets in."""
        self._directory = directory
        self._own: Path | None = None
        self._lock: int | None = None
        self._count = 0

    def make(self) -> Door:
        """Make a door; raises :class:`Unsupported` where that cannot be."""
        if not has_relay():
            raise Unsupported(
                "mode http: wherry was installed without a C compiler, and so without the relay "
                "that servers are reached through; install one and wherry again"
            )
        try:
            own = self._opened()
            self._count += 1
            return Door(own / str(self._count))
        except OSError as error:
            raise EngineError(
                f"cannot make a door in {self._directory}: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Remove what is left of this process's doors. Idempotent."""
        if self._own is not None and self._lock is not None:
            shutil.rmtree(self._own, ignore_errors=True)
            os.close(self._lock)
        self._own = self._lock = None

    def _opened(self) -> Path:
        if self._own is None:
            base = self._directory
            base.mkdir(parents=True, exist_ok=True)
            _let_in(base)
            _remove_leftovers(base)
            own = base / os.urandom(8).hex()
            own.mkdir()
            self._lock = acquire(own / _LOCK, wait=False)
            _let_in(own)
            self._own = own
        return self._own


class Door:
    """One container's door."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o755)
        path.chmod(0o755)
        shutil.copyfile(RELAY, path / "relay")
        (path / "relay").chmod(0o755)
        self._listener = _listen(path / "door")
        self._line: socket.socket | None = None
        self._asking = asyncio.Lock()
        self._owed = 0
        self._waiting: set[asyncio.Event] = set()

    @property
    def mount(self) -> Mount:
        """What lets a container see it."""
        return Mount(source=str(self.path), target=INSIDE, read_only=True)

    @staticmethod
    def around(port: int) -> tuple[str, ...]:
        """Return the words before the program's own, for a program that listens on ``port``."""
        return (f"{INSIDE}/relay", f"{INSIDE}/door", str(port))

    async def opened(self) -> None:
        """Wait until the relay is there.

        The first one to come is the relay, since nothing else runs yet; nobody comes after it.
        """
        loop = asyncio.get_running_loop()
        self._line, _ = await loop.sock_accept(self._listener)
        self._line.setblocking(False)
        self._stop_listening()

    async def up(self) -> None:
        """Wait until the program accepts connections; raises EngineError when it is gone first."""
        assert self._line
        if await asyncio.get_running_loop().sock_recv(self._line, 1) != UP:
            raise EngineError("the container ended before its program accepted connections")

    async def connect(self) -> socket.socket:
        """Return our end of a new connection to the program.

        A program that does not accept it ends the connection. Raises :class:`EngineError` when
        the container has ended: nothing was handed over then.
        """
        if self._line is None:
            raise EngineError("the container has ended")
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                async with self._asking:
                    await self._hand_over(theirs)
                    await self._answered()
        except BaseException:
            ours.close()
            raise
        ours.setblocking(False)
        return ours

    def close(self) -> None:
        """End the line, which ends the program, and remove what was in the directory."""
        self._stop_listening()
        if self._line is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._line.fileno())
            loop.remove_writer(self._line.fileno())
            self._line.close()
            self._line = None
        for waiting in self._waiting:
            waiting.set()
        shutil.rmtree(self.path, ignore_errors=True)

    async def _hand_over(self, end: socket.socket) -> None:
        while self._line is not None:
            try:
                socket.send_fds(self._line, [b"C"], [end.fileno()])
            except BlockingIOError:
                await self._until(self._line, writable=True)
            except OSError as error:
                raise EngineError(f"the container has ended: {error.strerror}") from error
            else:
                self._owed += 1
                return
        raise EngineError("the container has ended")

    async def _answered(self) -> None:
        """Hear what became of the last connection, after those whose callers did not wait."""
        said = b""
        while self._owed and self._line is not None:
            await self._until(self._line, writable=False)
            try:
                said = self._line.recv(1)
            except BlockingIOError:
                continue
            except OSError as error:
                raise EngineError(f"the container has ended: {error.strerror}") from error
            if not said:
                break
            self._owed -= 1
        if said != ACCEPTED:
            raise EngineError("the container has ended")

    async def _until(self, line: socket.socket, *, writable: bool) -> None:
        """Wait until the line can be read from, or written to, or is closed; nothing is taken."""
        loop, number = asyncio.get_running_loop(), line.fileno()
        ready = asyncio.Event()
        watch = loop.add_writer if writable else loop.add_reader
        watch(number, ready.set)
        self._waiting.add(ready)
        try:
            await ready.wait()
        finally:
            self._waiting.discard(ready)
            if self._line is line:  # else its number may be somebody else's by now
                (loop.remove_writer if writable else loop.remove_reader)(number)

    def _stop_listening(self) -> None:
        if self._listener.fileno() >= 0:
            self._listener.close()
            (self.path / "door").unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    """Listen, however long the path is: the kernel takes 107 bytes of it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        path.chmod(0o666)  # the directory says who comes this far
        listener.listen(1)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener


def _let_in(directory: Path) -> None:
    """Let in whom the parent lets in: as root, the user that sandboxes are on the host."""
    parent = directory.parent.stat()
    if os.geteuid() == 0:
        os.chown(directory, 0, parent.st_gid)
    directory.chmod(0o700 | parent.st_mode & 0o010)


def _remove_leftovers(base: Path) -> None:
    for path in base.iterdir():
        try:
            lock = acquire(path / _LOCK, wait=False)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or just being made
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)
