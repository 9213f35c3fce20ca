"""Dispatch on a Docker engine: containers that are named, stay, are stopped and removed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.dispatching import Producer, dispatching, end, run
from tests.support.dispatching import dispatcher_process as started

from wherry.engines.docker.engine import DockerEngine
from wherry.engines.docker.named import NamedContainers

if TYPE_CHECKING:
    from tests.support.dockerd import Dockerd
    from tests.support.rabbitmq import Rabbit

pytestmark = pytest.mark.root


@pytest.fixture
async def engine(dockerd: Dockerd) -> AsyncIterator[DockerEngine]:
    made = DockerEngine.connect(dockerd.unix)
    yield made
    await made.aclose()


@pytest.fixture
async def docker(
    engine: DockerEngine, rabbit: Rabbit, producer: Producer, tmp_path: Path
) -> AsyncIterator[Producer]:
    """Dispatch on the engine's unix socket."""
    performer = {"named": NamedContainers(engine)}
    async with dispatching(
        rabbit, producer.queue, state=tmp_path, engine=engine, performer=performer
    ):
        yield producer


def state(dockerd: Dockerd, container: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(dockerd.request("GET", f"/containers/{container}/json"))
    return found


def names(dockerd: Dockerd) -> str:
    return dockerd.request("GET", "/containers/json?all=1").decode()


async def test_an_attached_container_is_started_over_a_unix_socket_and_stays(
    docker: Producer, dockerd: Dockerd
) -> None:
    result = await docker.ask(run("echo", "hi", Name="stays", Remove=False))
    assert (result["stdout"], result["exit_code"]) == ("hi\n", 0)
    assert state(dockerd, "stays")["State"]["Status"] == "exited"
    assert "wherry.owner" not in state(dockerd, "stays")["Config"]["Labels"]  # nobody reaps it
    gone = await docker.ask({"Dockercmd": "remove", "Container": "stays"})
    assert gone["ok"]
    assert "stays" not in names(dockerd)


async def test_a_named_container_that_is_removed_leaves_nothing(
    docker: Producer, dockerd: Dockerd, engine: DockerEngine
) -> None:
    fed = run("cat", Name="passing", Attach=["STDIN", "STDOUT"], Input="fed")
    assert (await docker.ask(fed))["stdout"] == "fed"
    await engine.settled()
    assert "passing" not in names(dockerd)


async def test_a_detached_container_goes_on_is_stopped_twice_and_removed(
    docker: Producer, dockerd: Dockerd
) -> None:
    message = run("sleep", "1000", Name="goes-on", Remove=False, Attach=[])
    result = await docker.ask(message)
    assert result["container"] == state(dockerd, "goes-on")["Id"]
    assert state(dockerd, "goes-on")["State"]["Running"]
    stop = {"Dockercmd": "stop", "Container": "goes-on", "Options": {"Time": 1}}
    assert (await docker.ask(stop))["ok"]
    assert (await docker.ask(stop))["ok"]  # stopping a stopped container is no error
    remove = {"Dockercmd": "remove", "Container": result["container"], "Options": {"Force": True}}
    assert (await docker.ask(remove))["ok"]
    assert "goes-on" not in names(dockerd)


async def test_what_an_earlier_try_left_is_taken_up_and_what_is_others_is_not(
    docker: Producer, dockerd: Dockerd
) -> None:
    message = run("sleep", "1000", Name="taken", Remove=False, Attach=[])
    first = await docker.ask(message, message_id="one")
    engine = DockerEngine.connect(dockerd.unix)
    from wherry.models import Function, Invocation

    again = Invocation(function=Function(name="x", image="busybox", command=("sleep", "1000")))
    named = NamedContainers(engine)
    assert await named.detach(again, name="taken", key="id:one") == first["container"]
    await engine.aclose()
    other = await docker.ask(message, message_id="two")
    assert "taken" in other["error"]
    await docker.dead()
    remove = {"Dockercmd": "remove", "Container": "taken", "Options": {"Force": True}}
    assert (await docker.ask(remove))["ok"]


async def test_the_exit_code_of_a_container_decides(docker: Producer) -> None:
    result = await docker.ask(run("sh", "-c", "exit 9", Name="nine"))
    assert (result["ok"], result["exit_code"]) == (False, 9)
    assert (await docker.dead()).headers["x-wherry-exit-code"] == 9


@pytest.mark.parametrize(
    "message",
    [{"Dockercmd": "stop", "Container": "nobody"}, {"Dockercmd": "remove", "Container": "nobody"},
     run("true", image="no.such.registry.invalid/image")],
)  # fmt: skip
async def test_what_is_not_there_is_an_error_and_a_dead_letter(
    message: dict[str, Any], docker: Producer
) -> None:
    result = await docker.ask(message)
    assert not result["ok"]
    assert result["error"]
    await docker.dead()


async def test_the_command_takes_the_path_of_the_socket_and_prints_results(
    dockerd: Dockerd, rabbit: Rabbit, producer: Producer, tmp_path: Path
) -> None:
    process = started(rabbit, producer.queue, data=tmp_path, engine=str(dockerd.socket))
    await producer.channel.declare_queue(producer.queue, durable=True)
    assert (await producer.ask(run("echo", "hi")))["ok"]
    await producer.ask({"Dockercmd": "exec"})
    code, out, err = end(process)
    assert (code, out.decode()) == (
        0,
        "hi\nerror: unsupported operation: 'exec' must be run, stop or remove\n",
    ), err
    assert list((tmp_path / "dispatch").glob("owner-*")) == []
