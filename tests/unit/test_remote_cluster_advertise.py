"""The address that a node tells the others, when nobody says."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from wherry.remote.cluster import advertise
from wherry.remote.cluster.advertise import own_origin


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1", "http://127.0.0.1:1717"),
        ("::1", "http://[::1]:1717"),
        ("[::1]", "http://[::1]:1717"),
        ("node1.example.org", "http://node1.example.org:1717"),
    ],
)
def test_a_server_that_listens_somewhere_is_reached_there(host: str, origin: str) -> None:
    assert own_origin(scheme="http", host=host, port=1717) == origin


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "[::]"])
def test_a_server_that_listens_everywhere_names_an_address_of_this_machine(host: str) -> None:
    origin = own_origin(scheme="https", host=host, port=1717)
    address = origin.removeprefix("https://").removesuffix(":1717").strip("[]")
    family = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
    with socket.socket(family) as probe:
        probe.bind((address, 0))  # which only works with one's own


def test_without_a_way_out_it_is_the_address_of_an_interface_or_of_the_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(advertise, "_OUTSIDE", ())
    found = advertise._of_an_interface()
    origin = own_origin(scheme="http", host="", port=1717)
    assert origin == f"http://{found or '127.0.0.1'}:1717"
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "nothing")])
    assert own_origin(scheme="http", host="", port=1717) == "http://127.0.0.1:1717"
