"""Networks of the real local engine: none, the host's, and a private one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.local_harness import of_this_engine

from wherry.engines.local import private_network
from wherry.errors import Unsupported
from wherry.models import Exit

if TYPE_CHECKING:
    from tests.support.local_calls import Calls

DEVICES = "ls /sys/class/net 2>/dev/null || awk -F: 'NR > 2 { print $1 }' /proc/net/dev"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server on the loopback of this host, which says one line."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello from the host\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_without_a_network_there_is_only_a_loopback_of_its_own(
    calls: Calls, port: int
) -> None:
    lines = await calls.lines(DEVICES)
    assert [line.strip() for line in lines] == ["lo"]
    script = f"nc -l -p {port} -e echo inside & sleep 0.2; nc 127.0.0.1 {port} < /dev/null"
    assert await calls.lines(script) == ["inside"]
    assert (await calls.sh(f"nc -w 2 127.0.0.1 {port} < /dev/null")).exit.code == 1
    assert await calls.lines("cat /proc/net/route | wc -l; cat /proc/net/tcp | wc -l") == ["1", "1"]


async def test_localhost_is_a_name_without_any_network(calls: Calls) -> None:
    script = "nc -l -p 4711 -e echo inside & sleep 0.2; nc localhost 4711 < /dev/null"
    assert await calls.lines(script) == ["inside"]


async def test_a_call_that_asks_for_the_hosts_network_reaches_its_servers(
    calls: Calls, port: int
) -> None:
    script = f"nc -w 5 127.0.0.1 {port} < /dev/null; test -f /etc/resolv.conf"
    assert await calls.lines(script, network="host") == ["hello from the host"]


async def test_a_private_network_has_a_way_out_and_no_way_to_the_hosts_loopback(
    calls: Calls, port: int
) -> None:
    why_not = private_network.available()
    if why_not is not None:
        with pytest.raises(Unsupported) as caught:
            await calls.run("true", network="private")
        assert str(caught.value) == why_not
        assert of_this_engine(calls.engine) == []
        return
    lines = await calls.lines(DEVICES, network="private")
    assert sorted(line.strip() for line in lines) == ["lo", "tap0"]
    script = f"""
        route -n | awk '$1 == "0.0.0.0" {{ print "gateway", $2 }}'
        for host in 127.0.0.1 10.197.42.2 10.197.42.100; do
            nc -w 1 $host {port} < /dev/null && echo reached $host
        done; test -s /etc/resolv.conf || true"""
    result = await calls.sh(script, network="private")
    assert result.stdout == b"gateway 10.197.42.2\n"


async def test_a_private_network_goes_with_its_container(calls: Calls) -> None:
    if private_network.available() is not None:
        assert os.getuid() != 0
        return
    before = _children()
    for _ in range(3):
        result = await calls.run("true", network="private")
        assert result.exit == Exit(0)
    assert _children() == before


def _children() -> set[str]:
    """Return our children's pids: daemons of other tests' fixtures are among them."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
