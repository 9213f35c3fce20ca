"""The address by which the other nodes reach this one, when nobody says."""

from __future__ import annotations

import ipaddress
import socket

from wherry.errors import UsageError

# Documentation addresses (RFC 5737, RFC 3849): connecting a datagram socket sends nothing, and
# tells from which address of ours something would be sent.
_OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def own_origin(*, scheme: str, host: str, port: int) -> str:
    """Return ``scheme://IP:PORT`` for a server that listens on ``host``; empty is everywhere.

    Raises :class:`wherry.errors.UsageError` when it listens everywhere on a machine that has no
    way out: then it has to be told.
    """
    name = _outgoing() if _is_everywhere(host) else host.strip("[]")
    where = f"[{name}]" if ":" in name else name
    return f"{scheme}://{where}:{port}"


def _is_everywhere(host: str) -> bool:
    try:
        return not host or ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def _outgoing() -> str:
    for family, address in _OUTSIDE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    raise UsageError(
        "--advertise: this machine has no address that others could reach it by; write"
        " http://IP:PORT"
    )
