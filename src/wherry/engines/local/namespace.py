"""The network namespace of a sandbox, and the user namespace that has power over it."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from wherry.errors import EngineError

# linux/nsfs.h
_NS_GET_USERNS = 0xB701
_NS_GET_OWNER_UID = 0xB704


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """Open descriptors, good as long as the block of :func:`namespace_of` lasts."""

    net: int
    user: int
    """The user namespace that owns `net`, which need not be the one its processes are in."""
    owner: int
    """The uid that made `user`: outside of it, the one with power over it."""


@contextmanager
def namespace_of(pid: int) -> Iterator[Namespace]:
    """Open the network namespace that process `pid` is in.

    Raises :class:`EngineError` when the process is gone, and when the namespace is our own:
    nobody is to set up a network there.
    """
    with ExitStack() as opened:
        try:
            net = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            opened.callback(os.close, net)
            user: int = fcntl.ioctl(net, _NS_GET_USERNS)
            opened.callback(os.close, user)
            answer = fcntl.ioctl(user, _NS_GET_OWNER_UID, struct.pack("I", 0))
            is_ours = os.path.samestat(os.fstat(net), os.stat("/proc/self/ns/net"))  # noqa: PTH116
        except OSError as error:
            raise EngineError(f"cannot see the network of process {pid}: {error}") from error
        if is_ours:
            raise EngineError(f"process {pid} has no network of its own, it is in ours")
        yield Namespace(net=net, user=user, owner=struct.unpack("I", answer)[0])
