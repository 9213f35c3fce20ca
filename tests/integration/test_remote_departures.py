"""Clients whose farewell waits behind input that nobody reads are missed all the same."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.certificates import make_certificates
from tests.support.docker_harness import ids_of
from tests.support.harness import endless
from tests.support.remote_server import TOKEN, remote_server
from tests.support.waiting import wait_until

from wherry.engines.docker.engine import DockerEngine
from wherry.engines.remote import protocol
from wherry.engines.remote.engine import RemoteEngine
from wherry.engines.remote.portable import call_document
from wherry.engines.remote.protocol import frame
from wherry.models import CHUNK, Function, Invocation
from wherry.remote.settings import RemoteSettings
from wherry.server import remoting
from wherry.server.listening import Listening
from wherry.server.sockets import bind

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd


def sleeping() -> Invocation:
    command = ("sleep", "600")
    return Invocation(function=Function(name="f", image="busybox", command=command))


async def test_a_client_over_tls_that_leaves_is_missed_while_its_input_is_not_read(
    dockerd: Dockerd, tmp_path: Path
) -> None:
    made = make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.server_cert, made.server_key)
    listeners = bind(["127.0.0.1:0"])
    settings = RemoteSettings(host="127.0.0.1", port=0, engine=dockerd.unix, token=TOKEN)
    docker = DockerEngine.connect(dockerd.unix)
    async with remoting.assembled(settings, docker, listeners=listeners) as app:
        listening = Listening(app, listeners, tls=context)
        await listening.start()
        port = listening.addresses[0].rpartition(":")[2]
        engine = RemoteEngine.connect(f"remote+https://{TOKEN}@127.0.0.1:{port}?ca={made.ca}")
        sent = [0]
        async with engine.start(sleeping(), endless(sent)):
            before = -1
            while sent[0] != before:  # until it is not taken any more
                before = sent[0]
                await asyncio.sleep(0.2)
        async with asyncio.timeout(30):
            while listening.host.tasks:
                await asyncio.wait(tuple(listening.host.tasks))
        await engine.aclose()
        await listening.stop(grace=0.0)
    assert ids_of(dockerd) == set()


async def test_a_client_that_is_killed_is_missed_while_its_input_is_not_read(
    dockerd: Dockerd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.remote.calls._PING_SECONDS", 0.2)
    async with remote_server(dockerd.unix) as server:
        data = frame(protocol.CALL, call_document(sleeping(), has_stdin=True))
        size = len(data) + (1 << 30)
        headers = {"content-length": str(size), "content-type": protocol.MEDIA}
        reader, writer = await server.send("POST", "/wherry/v1/call", data, headers=headers)
        await asyncio.to_thread(wait_until, lambda: bool(ids_of(dockerd)), seconds=40)
        with pytest.raises(TimeoutError):  # noqa: PT012 - whichever write it is
            async with asyncio.timeout(2):
                while True:
                    writer.write(frame(protocol.INPUT, bytes(CHUNK)))
                    await writer.drain()
        await reader.read(CHUNK)  # else the end would be a reset, which tells at once
        writer.transport.abort()
        await asyncio.to_thread(wait_until, lambda: not ids_of(dockerd), seconds=40)
