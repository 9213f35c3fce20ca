"""The address by which the other nodes reach this one, when nobody says."""

from __future__ import annotations

import fcntl
import ipaddress
import socket

# Documentation addresses (RFC 5737, RFC 3849): connecting a datagram socket sends nothing, and
# tells from which address of ours something would be sent.
_OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

_SIOCGIFADDR = 0x8915
_IFREQ = 40
_ADDRESS = slice(20, 24)
"""Of a struct ifreq: 16 bytes of name, then a sockaddr_in."""


def own_origin(*, scheme: str, host: str, port: int) -> str:
    """Return ``scheme://IP:PORT`` for a server that listens on ``host``; empty is everywhere.

    A server that listens everywhere has the address that the machine goes out by, else that of
    one of its interfaces, else that of the loopback: then the others can only be there, too.
    """
    name = host.strip("[]")
    if _is_everywhere(host):
        name = _outgoing() or _of_an_interface() or "127.0.0.1"
    where = f"[{name}]" if ":" in name else name
    return f"{scheme}://{where}:{port}"


def _is_everywhere(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def _outgoing() -> str | None:
    for family, address in _OUTSIDE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return None


def _of_an_interface() -> str | None:
    """Return the first IPv4 address that is not the loopback's (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, name.encode().ljust(_IFREQ, b"\0"))
            except OSError:  # it has no such address
                continue
            address = ipaddress.IPv4Address(answer[_ADDRESS])
            if not address.is_loopback:
                return str(address)
    return None
