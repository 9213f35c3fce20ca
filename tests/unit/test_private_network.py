import os
from pathlib import Path

import pytest

from wherry.engines.local.namespace import namespace_of
from wherry.engines.local.private_network import resolv_conf
from wherry.errors import EngineError


def conf(tmp_path: Path, *texts: str) -> str:
    sources = []
    for number, text in enumerate(texts):
        path = tmp_path / f"conf{number}"
        path.write_text(text)
        sources.append(str(path))
    return resolv_conf(sources=(*sources, str(tmp_path / "missing"))).decode()


def test_name_servers_that_are_reachable_are_kept_with_their_options(tmp_path: Path) -> None:
    text = "# note\nsearch example.org\nnameserver 192.0.2.53\noptions ndots:2\nsortlist 1.2.3.4\n"
    expected = "search example.org\nnameserver 192.0.2.53\noptions ndots:2\n"
    assert conf(tmp_path, text) == expected


def test_a_resolver_on_the_loopback_is_replaced_by_those_behind_it(tmp_path: Path) -> None:
    behind = "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch lan\n"
    stub = "nameserver 127.0.0.53\noptions edns0\n"
    assert conf(tmp_path, stub, behind) == "nameserver 192.0.2.1\nsearch lan\n"


@pytest.mark.parametrize(
    "line", ["nameserver ::1", "nameserver fe80::1%eth0", "nameserver 0.0.0.0", "nameserver", "x"]
)
def test_a_name_server_that_cannot_be_reached_is_left_out(tmp_path: Path, line: str) -> None:
    assert conf(tmp_path, f"{line}\nnameserver 192.0.2.2\n") == "nameserver 192.0.2.2\n"


def test_without_any_reachable_name_server_there_is_none(tmp_path: Path) -> None:
    assert conf(tmp_path, "nameserver 127.0.0.1\n") == ""
    assert conf(tmp_path) == ""


def test_our_own_network_is_never_set_up_by_mistake() -> None:
    with (
        pytest.raises(EngineError, match="it is in ours"),
        namespace_of(os.getpid()),
    ):
        pass


def test_a_process_that_is_gone_is_an_engine_error() -> None:
    with (
        pytest.raises(EngineError, match="cannot see the network of process 4194305"),
        namespace_of(4194305),
    ):
        pass
