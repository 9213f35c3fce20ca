"""The file that each node of a cluster writes, and which hosts it may name."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wherry.errors import UsageError
from wherry.remote.cluster.origins import Origins
from wherry.remote.cluster.seal import Seal
from wherry.remote.cluster.state import LARGEST, BadState, NodeState, name_of, read, written

SEAL = Seal("the cluster's own token")
STATE = NodeState(host="http://10.0.0.1:1717", load=0.25, time=1000.5, key="k" * 32)


def test_a_state_has_the_two_keys_of_the_contract_and_is_read_as_it_was_written() -> None:
    data = written(STATE, SEAL)
    fields = json.loads(data)
    assert (fields["host"], fields["load"]) == ("http://10.0.0.1:1717", 0.25)
    again = read(data)
    assert (again.host, again.load, again.time, again.key) == (
        STATE.host, STATE.load, STATE.time, STATE.key,
    )  # fmt: skip
    assert again.is_sealed(SEAL)


def test_a_state_of_the_two_keys_alone_is_enough() -> None:
    state = read(b'{"host": "http://10.0.0.1:1717", "load": 0}')
    assert state == NodeState(host="http://10.0.0.1:1717", load=0.0)
    assert not state.is_sealed(SEAL)


def test_keys_that_are_not_known_are_ignored() -> None:
    assert read(b'{"host": "http://a:1", "load": 0.5, "disks": [1], "time": "noon"}').load == 0.5


@pytest.mark.parametrize("field", ["host", "load", "time", "key"])
def test_a_sealed_state_that_was_changed_is_not_sealed_any_more(field: str) -> None:
    other = {"host": "http://10.0.0.9:1717", "load": 0.0, "time": 2000.0, "key": "x"}
    fields = json.loads(written(STATE, SEAL)) | {field: other[field]}
    assert not read(json.dumps(fields).encode()).is_sealed(SEAL)


def test_a_state_of_another_cluster_is_not_sealed_for_ours() -> None:
    assert not read(written(STATE, Seal("another token"))).is_sealed(SEAL)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"host": "http://a:1", "lo',
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"load": 0.5}',
        b'{"host": 5, "load": 0.5}',
        b'{"host": "http://a:1"}',
        b'{"host": "http://a:1", "load": null}',
        b'{"host": "http://a:1", "load": true}',
        b'{"host": "http://a:1", "load": "0.5"}',
        b'{"host": "http://a:1", "load": -1}',
        b'{"host": "http://a:1", "load": NaN}',
        b'{"host": "http://a:1", "load": Infinity}',
        b'{"host": "http://a:1", "load": 1' + b"0" * 400 + b"}",
        b'{"host": "http://a:1", "load": 0.5, "x": "' + b"x" * LARGEST + b'"}',
        b"[" * 3000,
    ],
)
def test_what_is_no_state_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(BadState, match=r"\w"):
        read(data)


@given(st.binary(max_size=200))
def test_no_content_of_a_file_raises_anything_else(data: bytes) -> None:
    with contextlib.suppress(BadState):
        read(data)


def test_a_host_always_has_the_same_file_so_a_restart_leaves_no_ghost() -> None:
    assert name_of("http://10.0.0.1:1717") == "10.0.0.1-1717.json"
    assert name_of("https://[::1]:1717") == "1-1717.json"
    assert "/" not in name_of("http://../../x:1")


@pytest.mark.parametrize(
    "host",
    [
        "http://10.0.0.1:1717",
        "http://10.0.0.1:1717/",
        "http://node-1.example.org:1717",
        "http://node1",
        "http://[2001:db8::1]:1717",
    ],
)
def test_a_node_may_have_an_address_or_a_name(host: str) -> None:
    assert Origins("http://10.0.0.9:1717").check(host) == host.rstrip("/")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "10.0.0.1:1717",
        "ftp://10.0.0.1:1717",
        "file:///etc/passwd",
        "https://10.0.0.1:1717",  # we speak http
        "http://user:password@10.0.0.1:1717",
        "http://10.0.0.1:1717/path",
        "http://10.0.0.1:1717?query",
        "http://10.0.0.1:1717#part",
        "http://10.0.0.1:99999",
        "http://10.0.0.1:0",
        "http://10.0.0.1:-1",
        "http://10.0.0.1:",
        "http://",
        "http://a b",
        "http://a\nb:1",
        "http://a\r\nHost: b",
        "http://-a",
        "http://[::1",
        "http://127.0.0.1:1717",  # we are not there
        "http://localhost:2375",
        "http://[::1]:1717",
        "http://[::ffff:127.0.0.1]:1717",
        "http://169.254.169.254",
        "http://[fe80::1]:1717",
        "http://[::ffff:169.254.169.254]",
        "http://0.0.0.0:1717",
        "http://[::]:1717",
        "http://224.0.0.1:1717",
    ],
)
def test_no_other_host_is_asked_whatever_a_file_says(host: str) -> None:
    with pytest.raises(UsageError):
        Origins("http://10.0.0.9:1717").check(host)


def test_nodes_of_one_machine_may_be_on_its_loopback_interface() -> None:
    origins = Origins("http://127.0.0.1:1717")
    assert origins.check("http://127.0.0.1:1718") == "http://127.0.0.1:1718"
    assert origins.check("http://localhost:1718") == "http://localhost:1718"


def test_an_allow_list_decides_alone() -> None:
    origins = Origins("http://10.0.0.9:1717", allow=["10.0.0.0/8", "*.example.org", "127.0.0.1"])
    for host in ("http://10.1.2.3:1", "http://a.example.org:1", "http://127.0.0.1:5"):
        assert origins.check(host) == host
    for host in ("http://11.0.0.1:1", "http://example.org.evil:1", "http://localhost:1"):
        with pytest.raises(UsageError, match="not among"):
            origins.check(host)


def test_a_name_is_the_same_in_any_case() -> None:
    assert Origins("http://NODE:1717").check("HTTP://Node2:1717") == "http://node2:1717"


def test_our_own_address_must_be_one_too() -> None:
    with pytest.raises(UsageError, match="--advertise"):
        Origins("10.0.0.1:1717")
