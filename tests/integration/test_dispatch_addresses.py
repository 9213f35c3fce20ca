"""Dispatch over TLS, in other vhosts, with options of the address; and images from a registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from tests.support.certificates import make_certificates
from tests.support.dispatching import Line, dispatching, producing, run
from tests.support.local_calls import data_with_busybox
from tests.support.oci_layout import build_image
from tests.support.registry import RegistryServer, registry_server

from wherry.client import AsyncClient
from wherry.engines import connect
from wherry.errors import EngineUnavailable, UsageError
from wherry.testing import MemoryEngine
from wherry.triggers.amqp.address import Address
from wherry.triggers.amqp.dispatcher import Dispatcher
from wherry.triggers.amqp.options import DispatchOptions
from wherry.triggers.amqp.performing import Performer
from wherry.triggers.amqp.record import Record
from wherry.triggers.amqp.session import session

if TYPE_CHECKING:
    from tests.support.dispatching import Producer
    from tests.support.rabbitmq import Rabbit


def options(url: str, state: Path) -> DispatchOptions:
    """Return what the command makes of an address."""
    address = Address.parse(url, name="AMQPADDR")
    return DispatchOptions(url=address.url, patience=address.patience, queue="odd", state=state)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry_server(tmp_path_factory.mktemp("registry")) as server:
        yield server


async def test_messages_come_and_replies_go_over_tls(
    rabbit: Rabbit, queue: str, producer: Producer, tmp_path: Path
) -> None:
    address = Address.parse(
        f"{rabbit.tls_url}?cacertfile={rabbit.certificates.ca}", name="AMQPADDR"
    )
    async with dispatching(rabbit, queue, state=tmp_path, url=address.url):
        assert (await producer.ask(run("echo", "safe")))["stdout"] == "safe\n"


async def test_a_client_certificate_is_shown_to_the_broker(rabbit: Rabbit, tmp_path: Path) -> None:
    own = rabbit.certificates
    url = f"{rabbit.tls_url}?cafile={own.ca}&certfile={own.cert}&keyfile={own.key}"
    async with session(options(url, tmp_path)) as opened:
        assert not opened.is_lost
    (tmp_path / "others").mkdir()
    others = make_certificates(tmp_path / "others")
    url = f"{rabbit.tls_url}?cafile={own.ca}&certfile={others.cert}&keyfile={others.key}"
    with pytest.raises((UsageError, EngineUnavailable)):
        async with session(options(url, tmp_path)):
            pass


async def test_a_broker_that_an_unknown_authority_vouches_for_is_refused_and_it_is_said(
    rabbit: Rabbit, tmp_path: Path
) -> None:
    others = make_certificates(tmp_path)
    for query in ("", f"?cafile={others.ca}"):
        with pytest.raises(UsageError) as caught:
            async with session(options(rabbit.tls_url + query, tmp_path)):
                pass
        said = str(caught.value)
        assert said.startswith("AMQPADDR: the broker's certificate is not trusted: ")
        assert "?cafile=FILE names the authority" in said
    async with session(options(f"{rabbit.tls_url}?verify=verify_none", tmp_path)) as opened:
        assert not opened.is_lost


async def test_a_certificate_for_another_name_is_refused(rabbit: Rabbit, tmp_path: Path) -> None:
    url = f"{rabbit.tls_url.replace('127.0.0.1', '127.0.0.2')}?cafile={rabbit.certificates.ca}"
    line = Line(rabbit.tls_port)
    async with await asyncio.start_server(line.serve, "127.0.0.2", rabbit.tls_port):
        with pytest.raises(UsageError, match=r"not trusted: .*127\.0\.0\.2"):
            async with session(options(url, tmp_path)):
                pass
        await line.aclose()


async def test_tls_to_a_port_without_it_is_said(rabbit: Rabbit, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="speaks no TLS; amqp:// is without"):
        async with session(options(rabbit.url.replace("amqp:", "amqps:"), tmp_path)):
            pass


async def test_a_vhost_of_any_name_has_queues_of_its_own(rabbit: Rabbit, tmp_path: Path) -> None:
    name = "/teams/a b"
    await asyncio.to_thread(rabbit.add_vhost, name)
    url = f"{rabbit.url}{quote(name, safe='')}"
    async with producing(rabbit, "apart", url=url) as producer:
        made = Address.parse(url, name="AMQPADDR")
        async with dispatching(
            rabbit, "apart", state=tmp_path, url=made.url, patience=made.patience
        ):
            assert (await producer.ask(run("echo", "there")))["stdout"] == "there\n"
    assert made.shown.endswith(name)


async def test_a_vhost_that_is_not_there_is_said(rabbit: Rabbit, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="AMQPADDR: the broker does not open the vhost"):
        async with session(options(f"{rabbit.url}nowhere", tmp_path)):
            pass


async def test_a_heartbeat_is_agreed_on(rabbit: Rabbit, tmp_path: Path) -> None:
    async with session(options(f"{rabbit.url}?heartbeat=7&channel_max=100", tmp_path)) as opened:
        transport = opened._connection.transport
        assert transport is not None
        underlay: Any = transport.connection
        assert underlay.heartbeat_timeout == 7


async def test_who_takes_a_connection_and_says_nothing_is_given_up_in_time(tmp_path: Path) -> None:
    async with silent_broker() as (url, _):
        asked = options(f"{url}?connection_timeout=50", tmp_path)
        with pytest.raises(EngineUnavailable, match="the broker cannot be reached: Timeout"):
            async with asyncio.timeout(10), session(asked):
                pass


async def test_a_stop_does_not_wait_for_a_broker_that_says_nothing(tmp_path: Path) -> None:
    stop = asyncio.Event()
    record = await Record.open(tmp_path)
    async with AsyncClient(MemoryEngine()) as client, silent_broker() as (url, heard):
        asked = options(f"{url}?connection_timeout=600000", tmp_path)
        dispatcher = Dispatcher(asked, Performer(client=client), record=record, say=print)
        running = asyncio.create_task(dispatcher.run(stop, at_once=stop, patient=True))
        async with asyncio.timeout(30):
            await heard.wait()
            stop.set()
            await running
    await record.aclose()


@asynccontextmanager
async def silent_broker() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Take connections and never say a word; yield the address, and what tells of the first."""
    heard, over = asyncio.Event(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        await reader.read()
        writer.close()
        over.set()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        yield f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/", heard
        await over.wait()


async def test_a_missing_image_is_pulled_once_for_messages_that_come_together(
    rabbit: Rabbit, queue: str, producer: Producer, registry: RegistryServer, tmp_path: Path
) -> None:
    image = registry.push(build_image(), "team/tool:latest", scratch=tmp_path)
    with data_with_busybox() as data:
        engine = connect(f"local:{data}")
        async with dispatching(rabbit, queue, state=tmp_path, engine=engine):
            for number in range(3):
                await producer.send(run("sh", "-c", f"echo {number}", image=image))
            results = [await producer.result() for _ in range(3)]
            assert sorted(each["stdout"] for each in results) == ["0\n", "1\n", "2\n"], results
            absent = f"{registry.host}/team/absent:1"
            result = await producer.ask(run("true", image=absent))
            assert absent in result["error"]
            assert (await producer.dead()).headers["x-wherry-reason"] == result["error"]
