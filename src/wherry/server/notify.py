"""Telling a service manager how we are: systemd's datagrams, where it asks for them."""

from __future__ import annotations

import socket

from wherry import config


def notify(state: str) -> None:
    """Send ``READY=1``, ``STOPPING=1`` or the like to ``NOTIFY_SOCKET``; nothing without it.

    https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """
    address = config.variable("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError:
            return  # a manager that does not listen is no reason not to serve
