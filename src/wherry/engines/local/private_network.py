"""A network of the sandbox's own with a way out and none in, by slirp4netns.

slirp4netns turns the sandbox's packets into ordinary connections of an ordinary process of the
host. What the host can reach the sandbox can reach, but for the host's loopback. IPv4 only.

pasta is not used: it has no descriptor by which it ends with us, so a killed caller would leave
it behind, and it gives the sandbox the host's own addresses.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from wherry.engines.local import pipes
from wherry.engines.local.namespace import Namespace, namespace_of
from wherry.errors import EngineError, Unsupported

_TUN = Path("/dev/net/tun")
# Not slirp's default 10.0.2.0/24: virtual machines often are in one of that name themselves.
_SUBNET = "10.197.42.0/24"
_READY = 10.0
"""Seconds until slirp4netns must have set the network up; it takes about 10 ms."""
_ENDING = 2.0
_TAIL = 2048
"""Bytes of the helper's last words that are kept."""
_FOR_ALL = 0o006
# A helper that must be root sees nothing of /run, where other services' sockets are.
_WITHOUT_RUN = 'mount --make-rprivate / && mount -t tmpfs -o ro,size=4k none /run && exec "$@"'


def available() -> str | None:
    """Return None where private networks work, else why not and how to get them."""
    if shutil.which("slirp4netns") is None:
        return "network `private` needs slirp4netns; install it (Debian: `apt install slirp4netns`)"
    if not _TUN.exists():
        return f"network `private` needs {_TUN}; load the kernel's module (`modprobe tun`)"
    if not os.access(_TUN, os.R_OK | os.W_OK):
        mode = _TUN.stat().st_mode & 0o777
        return (
            f"network `private` needs {_TUN}, which uid {os.geteuid()} cannot open (mode "
            f"{mode:o}); as root: `chmod 666 {_TUN}`, as most systems have it"
        )
    return None


def resolv_conf(
    *, sources: tuple[str, ...] = ("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
) -> bytes:
    """Return the ``/etc/resolv.conf`` of a sandbox in a private network.

    The host's, without the name servers that cannot be reached from there: on the host's
    loopback (then those behind systemd's are taken) or by IPv6. slirp4netns could forward to
    them, but would open every other port of the loopback as well.
    """
    lines: list[str] = []
    for source in sources:
        try:
            text = Path(source).read_text(errors="replace")
        except OSError:
            continue
        lines = [line for line in text.splitlines() if _reachable(line)]
        if any(line.startswith("nameserver") for line in lines):
            break
    return "".join(f"{line}\n" for line in lines).encode()


def _reachable(line: str) -> bool:
    words = line.split()
    if not words or words[0] not in ("nameserver", "search", "domain", "options"):
        return False
    if words[0] != "nameserver":
        return True
    try:
        address = ipaddress.IPv4Address(words[1])
    except (IndexError, ValueError):
        return False
    return not (address.is_loopback or address.is_unspecified)


class PrivateNetwork:
    """A running helper; the network is there until it is closed."""

    def __init__(self, helper: _Helper, transport: asyncio.SubprocessTransport, end: int) -> None:
        self._helper = helper
        self._transport = transport
        self._end: int | None = end

    @property
    def pid(self) -> int:
        """Pid of the helper, a child of this process."""
        return self._transport.get_pid()

    async def wait_ready(self, ready: int) -> None:
        """Wait until the helper wrote to its end of the pipe `ready`."""
        try:
            async with asyncio.timeout(_READY):
                await pipes.wait_readable([ready])
                if os.read(ready, 1) == b"1":
                    return
                await self._helper.ended
        except TimeoutError:
            raise EngineError(f"slirp4netns was not ready within {_READY} s") from None
        said = self._helper.said.decode(errors="replace").strip()
        raise EngineError(f"slirp4netns failed: {said}")

    async def aclose(self) -> None:
        """End the helper and reap it. Idempotent."""
        if self._end is not None:
            os.close(self._end)
            self._end = None
        try:
            async with asyncio.timeout(_ENDING):
                await asyncio.shield(self._helper.ended)
        except TimeoutError:
            self._transport.kill()
            await self._helper.ended
        finally:
            self._transport.close()


async def attach(pid: int) -> PrivateNetwork:
    """Give the network namespace of process `pid` a way out; return when it works.

    `pid` is the sandbox's init, in a network namespace of its own; its program should not run
    yet. The helper ends when the result is closed, and when this process ends in any way.
    Raises :class:`Unsupported` where :func:`available` says why, :class:`EngineError` when it
    fails.
    """
    reason = available()
    if reason is not None:
        raise Unsupported(reason)
    await loopback_of(pid)
    with namespace_of(pid) as namespace, ExitStack() as ends:
        ready, is_ready = pipes.pipe()
        ends.callback(os.close, ready)
        with ExitStack() as theirs:
            theirs.callback(os.close, is_ready)
            # The helper ends when the other end is closed: by us or by our death.
            until, end = pipes.pipe()
            theirs.callback(os.close, until)
            network = await _start(namespace, is_ready=is_ready, until=until, end=end)
        try:
            await network.wait_ready(ready)
        except BaseException:
            await network.aclose()
            raise
        return network


async def loopback_of(pid: int) -> None:
    """Wait until the loopback of a process's network namespace has its address.

    bubblewrap sets it up just after it has told the pid. slirp4netns would too, and bubblewrap
    fails when the address is there already. The kernel sends nobody outside a word of it, so
    this looks again each millisecond; most often once. Raises :class:`EngineError` when the
    process ends before.
    """
    routes = Path(f"/proc/{pid}/net/fib_trie")
    try:
        async with asyncio.timeout(_READY):
            while b" 127.0.0.1\n" not in routes.read_bytes():  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.001)
    except TimeoutError:
        raise EngineError(f"the sandbox had no loopback within {_READY:g} s") from None
    except OSError as error:
        raise EngineError(f"the sandbox ended while it was set up: {error}") from None


async def _start(namespace: Namespace, *, is_ready: int, until: int, end: int) -> PrivateNetwork:
    command, identity = _command(namespace)
    options = [f"--ready-fd={is_ready}", f"--exit-fd={until}"]
    options += [f"--userns-path=/proc/self/fd/{namespace.user}", "--netns-type=path"]
    loop = asyncio.get_running_loop()
    try:
        transport, helper = await loop.subprocess_exec(
            _Helper,
            *command,
            *options,
            f"/proc/self/fd/{namespace.net}",
            "tap0",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(is_ready, until, namespace.net, namespace.user),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            **identity,
        )
    except BaseException as error:
        os.close(end)
        if isinstance(error, OSError):
            raise EngineError(f"cannot start slirp4netns: {error}") from error
        raise
    return PrivateNetwork(helper, transport, end)


def _command(namespace: Namespace) -> tuple[list[str], dict[str, Any]]:
    """Return how to run the helper with as little power as will do, and as whom.

    It reads packets that the sandbox made. Started by root it becomes the sandbox's own
    unprivileged user, if that one can open the tun device; else it stays root without
    capabilities, and sees of the file system only /etc.
    """
    program = shutil.which("slirp4netns") or "slirp4netns"
    command = [program, "--configure", "--mtu=65520", f"--cidr={_SUBNET}"]
    command += ["--disable-host-loopback", "--disable-dns", "--enable-seccomp"]
    if os.geteuid() != 0 or namespace.owner == 0:
        return command, {}
    if _TUN.stat().st_mode & _FOR_ALL == _FOR_ALL:
        owner = namespace.owner
        return command, {"user": owner, "group": owner, "extra_groups": []}
    hiding = ["unshare", "--mount", "--", "sh", "-c", _WITHOUT_RUN, "sh"]
    return [*hiding, *command, "--enable-sandbox"], {}


class _Helper(asyncio.SubprocessProtocol):
    """Knows when the helper has ended, and what it said last."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.said = b""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.said = (self.said + data)[-_TAIL:]

    def process_exited(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
