"""A node of a cluster in front of others that do what they are told, without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from tests.support.cluster import OWN, Clock, MemoryPlace, members

from wherry.errors import NotFound
from wherry.remote import answers
from wherry.remote.cluster.front import Clustered
from wherry.remote.cluster.merging import Reply
from wherry.remote.cluster.peers import Patience
from wherry.remote.cluster.seal import Seal
from wherry.remote.model import Answer, Call, Caller

if TYPE_CHECKING:
    from wherry.remote.cluster.directory import Node
    from wherry.remote.cluster.peers import Peers

A, B = "http://10.0.0.2:1717", "http://10.0.0.3:1717"
Does = Callable[[Call], Answer | Exception]


@dataclass
class Network:
    """Other nodes, each of which does what it is told."""

    does: dict[str, Does] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, node: Node, call: Call) -> Reply:
        answer = await self.relay(node, call)
        assert isinstance(answer.body, bytes)
        return Reply(
            host=node.host,
            status=answer.status,
            headers={name.lower(): value for name, value in answer.headers.items()},
            body=answer.body,
        )

    async def relay(self, node: Node, call: Call) -> Answer:
        self.asked.append((node.host, f"{call.method} {call.target}".strip()))
        done = self.does[node.host](call)
        if isinstance(done, Exception):
            raise done
        return done


class Cluster:
    """This node, and two others."""

    def __init__(self, *, strict: bool = False) -> None:
        self.place = MemoryPlace(Clock())
        self.network = Network()
        self.members = members(self.place)
        self.members.load = 0.5
        self.here: list[Call] = []
        self.hangs = False
        """Whether this node's own engine does not answer."""
        self.does: Does = says(OWN)
        self.front = Clustered(
            self._handle,
            members=self.members,
            peers=cast("Peers", self.network),
            seal=Seal("secret"),
            refused=lambda error: answers.failure(error, strict=strict),
            strict=strict,
            patience=Patience(lists=0.05),
        )

    async def _handle(self, call: Call) -> Answer:
        self.here.append(call)
        if self.hangs:
            await asyncio.Event().wait()
        done = self.does(call)
        if isinstance(done, Exception):
            raise done
        return done

    def node(self, host: str, load: float, does: Does | None = None) -> None:
        self.place.node(host, load)
        self.network.does[host] = does or says(host)

    async def ask(self, method: str, target: str = "", **more: Any) -> Answer:
        return await self.front(call(method, target, **more))

    @property
    def asked(self) -> list[str]:
        return [host for host, _ in self.network.asked]


def call(method: str, target: str = "", **more: Any) -> Call:
    more.setdefault("body", b"image=busybox" if method == "PUT" else b"")
    more.setdefault("query", {})
    caller = Caller(name="admin", address="192.0.2.7")
    return Call(method=method, target=target, fields={}, caller=caller, **more)


def says(host: str) -> Does:
    """Return a node with one container, of its own name."""

    def does(asked: Call) -> Answer | Exception:
        if asked.method == "GET" and not asked.target:
            return answers.document([{"names": host}])
        return answers.document({"command": "docker …", "raw": f"{host}\n"})

    return does


def lacks(asked: Call) -> Answer | Exception:
    """Be a node without the container."""
    if asked.method == "DELETE":
        return answers.document({"command": "docker rm", "raw": ""})
    error = NotFound(f"No such container: {asked.target}")
    answer = answers.failure(error, strict=False)
    return Answer(status=500, headers={"docker-server-missing": "1"}, body=answer.body)


def fields(answer: Answer) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body)
