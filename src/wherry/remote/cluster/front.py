"""What stands in front of a node: containers go to the least loaded one, questions to all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

from wherry.errors import NotFound, WherryError
from wherry.remote.cluster import merging
from wherry.remote.cluster.forwarded import PROOF, client_of, is_forced
from wherry.remote.cluster.merging import Failure, Reply
from wherry.remote.cluster.metrics import ClusterNumbers
from wherry.remote.cluster.peers import MOST, NoAnswer, NotAsked, Patience, Peers, TooLarge
from wherry.remote.faults import Fault
from wherry.remote.model import Answer, Call, Handler
from wherry.remote.turns import Full
from wherry.service.live import CallerLeft
from wherry.web.duplex import AnswerCut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

    from wherry.remote.cluster.directory import Node
    from wherry.remote.cluster.members import Members
    from wherry.remote.cluster.seal import Seal

_log = logging.getLogger(__name__)
_JSON = {"content-type": "application/json; charset=utf-8"}
_TOO_LARGE = "its answer is too large to be merged"
_ROUTES = frozenset(
    {
        ("PUT", False),
        ("GET", False),
        ("HEAD", False),
        ("GET", True),
        ("HEAD", True),
        ("POST", True),
        ("DELETE", True),
    }
)
"""Methods, and whether the path names something: what concerns other nodes."""


class Clustered:
    """A :data:`wherry.remote.model.Handler` of all nodes around the handler of this one."""

    def __init__(
        self,
        here: Handler,
        *,
        members: Members,
        peers: Peers,
        seal: Seal,
        refused: Callable[[WherryError], Answer],
        strict: bool = False,
        patience: Patience | None = None,
    ) -> None:
        """``refused`` is how this node answers an error, and ``strict`` how it answers at all."""
        self._handler = here
        self._members = members
        self._peers = peers
        self._seal = seal
        self._refused = refused
        self._strict = strict
        self._patience = patience or Patience()
        self._placed: dict[str, int] = {}
        self.numbers = ClusterNumbers(members)

    def speaks_for(self, scope: Scope) -> str | None:
        """Return the client's address if another node handed a request on; None if it did not.

        Such a request has been counted against its client's limits by that node.
        """
        headers = {name.decode("latin-1"): value.decode("latin-1")
                   for name, value in scope["headers"]}  # fmt: skip
        if PROOF not in headers:
            return None
        path = scope.get("raw_path") or scope["path"].encode()
        target = unquote(path.removeprefix(b"/").decode("latin-1"), errors="replace")
        return self._client_of(scope["method"], target, headers=headers)

    async def leave(self) -> None:
        """Have the others send nothing more; what is under way goes on. Idempotent."""
        await self._members.leave()

    async def __call__(self, call: Call) -> Answer:
        """Answer for all nodes; raises what the handler of this node raises."""
        if self._client_of(call.method, call.target, headers=call.headers) is not None:
            return await self._here(call)
        if is_forced(call.headers) or (call.method, bool(call.target)) not in _ROUTES:
            return await self._handler(call)
        if call.method == "PUT":
            return await self._place(call)
        if call.method == "HEAD" and not call.target:
            call = replace(call, method="GET")  # a server sends no body after HEAD by itself
        if call.target and (call.stdin is not None or {"stream", "follow"} & call.query.keys()):
            return await self._where_it_is(call)
        return await self._everywhere(call)

    def _client_of(self, method: str, target: str, *, headers: Mapping[str, str]) -> str | None:
        return client_of(
            headers, method=method, target=target, seal=self._seal, key=self._members.key
        )

    # ---- one node --------------------------------------------------------------------------

    async def _place(self, call: Call) -> Answer:
        """Run a container on the least loaded node that answers; here, between equals."""
        if not call.body:
            return await self._handler(call)
        nodes = await self._members.nodes()
        for node in sorted(nodes, key=lambda node: (node.load, self._placed.get(node.host, 0))):
            if node.load >= self._members.load:
                break
            answer = await self._relayed(node, call)
            if answer is not None:
                self._placed[node.host] = self._placed.get(node.host, 0) + 1
                return answer
        return await self._handler(call)

    async def _relayed(self, node: Node, call: Call) -> Answer | None:
        """Return a node's answer; None when it surely has not carried the request out."""
        try:
            answer = await self._peers.relay(node, call)
        except NotAsked as error:
            self._members.drop(node, reason=str(error))
            return None
        except NoAnswer as error:
            self._members.drop(node, reason=str(error))
            raise Fault(
                f"the node {node.host} took the request and did not answer ({error}):"
                " it may have carried it out",
                status=502,
                compatible=500,
            ) from error
        if answer.status == HTTPStatus.UNAUTHORIZED or merging.TURNED_AWAY in answer.headers:
            await _close(answer)
            if answer.status == HTTPStatus.UNAUTHORIZED:
                _log.warning("a node does not take a client's token", extra={"node": node.host})
            return None
        self._members.answered(node)
        return answer

    async def _where_it_is(self, call: Call) -> Answer:
        """Answer as the node that has the container does, as it comes."""
        looking = replace(
            call, method="GET", query={"inspect": "1"}, body=b"", fields={}, stdin=None
        )
        replies, failures = await self._all(looking)
        found = [reply.host for reply in replies if reply.is_success]
        if self._members.own in found or not found:
            try:
                return await self._handler(call)
            except NotFound as error:
                if not failures:
                    raise
                raise self._unknown(failures) from error
        nodes = {node.host: node for node in await self._members.nodes()}
        answer = await self._relayed(nodes[found[0]], call) if found[0] in nodes else None
        if answer is None:
            raise Fault(f"the node {found[0]} does not answer", status=502, compatible=500)
        return answer

    # ---- all nodes -------------------------------------------------------------------------

    async def _everywhere(self, call: Call) -> Answer:
        replies, failures = await self._all(call)
        if (
            call.method == "GET"
            and call.target
            and _TOO_LARGE in {each.reason for each in failures}
        ):
            return await self._where_it_is(call)  # as it comes: it is too much to be held
        if not replies:
            raise self._unknown(failures)
        headers = merging.told(failures, answered=len(replies))
        if call.target == "" and any(reply.is_success for reply in replies):
            return self._rows(replies, failures, headers=headers)
        counted = merging.best(replies, method=call.method)
        if failures and self._strict and merging.nobody_has_it(counted, method=call.method):
            raise self._unknown(failures)
        if call.method == "HEAD" and counted.is_success:  # where no body could tell
            failures += [_failed(reply) for reply in replies if not reply.is_success]
            headers = merging.told(failures, answered=len(replies))
        kept = {name: counted.headers[name] for name in ("retry-after",) if name in counted.headers}
        body = b"" if call.method == "HEAD" else merging.one(counted, replies, failures=failures)
        headers |= {merging.HOST: counted.host, **kept, **(_JSON if body else {})}
        return Answer(status=counted.status, headers=headers, body=body)

    def _rows(
        self, replies: Sequence[Reply], failures: Sequence[Failure], *, headers: dict[str, str]
    ) -> Answer:
        """Return one list; a node that sent something else counts as one that failed."""
        lists = [reply for reply in replies if reply.is_success and merging.lists(reply)]
        others = [_failed(reply) for reply in replies if reply not in lists]
        failed = [*failures, *others]
        headers |= merging.told(failed, answered=len(lists))
        body = merging.rows(lists, failed if self._strict else ())
        return Answer(headers={**headers, **_JSON}, body=body)

    async def _all(self, call: Call) -> tuple[list[Reply], list[Failure]]:
        """Ask every node at the same time, this one too; the answers of this one come first."""
        nodes = await self._members.nodes()
        left_alone = self._members.dropped()
        async with asyncio.TaskGroup() as group:
            here = group.create_task(self._reply_here(call))
            asked = [group.create_task(self._asked(node, call)) for node in nodes]
        answers = [here.result(), *(task.result() for task in asked)]
        replies = [each for each in answers if isinstance(each, Reply)]
        failures = [each for each in answers if isinstance(each, Failure)]
        failures += [Failure(host=host, reason=reason) for host, reason in left_alone.items()]
        return replies, failures

    async def _asked(self, node: Node, call: Call) -> Reply | Failure:
        try:
            reply = await self._peers.ask(node, call)
        except TooLarge:
            return Failure(host=node.host, reason=_TOO_LARGE)
        except (NoAnswer, NotAsked) as error:
            self._members.drop(node, reason=str(error))
            return Failure(host=node.host, reason=str(error))
        if reply.status == HTTPStatus.UNAUTHORIZED:
            return Failure(host=node.host, reason="it does not take our client's token")
        self._members.answered(node)
        return reply

    async def _reply_here(self, call: Call) -> Reply | Failure:
        """Answer for this node, within the time that the others have."""
        bound = self._patience.bound(call)
        try:
            async with asyncio.timeout(bound):
                answer = await self._here(call)
                body = answer.body if isinstance(answer.body, bytes) else await _whole(answer)
        except TimeoutError:
            return Failure(host=self._members.own, reason=f"no answer within {bound:g} s")
        if body is None:
            return Failure(host=self._members.own, reason=_TOO_LARGE)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(host=self._members.own, status=answer.status, headers=headers, body=body)

    async def _here(self, call: Call) -> Answer:
        """Answer for this node, errors too, and say where a container does not exist."""
        try:
            return await self._handler(call)
        except NotFound as error:
            answer = self._refused(error)
            return replace(answer, headers={**answer.headers, merging.MISSING: "1"})
        except Full as error:
            answer = self._refused(error)
            return replace(answer, headers={**answer.headers, merging.TURNED_AWAY: "1"})
        except (CallerLeft, AnswerCut):
            raise
        except WherryError as error:
            return self._refused(error)

    def _unknown(self, failures: Sequence[Failure]) -> Fault:
        silent = ", ".join(f"{each.host} ({each.reason})" for each in failures)
        return Fault(
            f"none of the nodes that answered has it; these did not answer: {silent}",
            status=503,
            compatible=500,
        )


def _failed(reply: Reply) -> Failure:
    return Failure(host=reply.host, reason=f"it answered {reply.status}")


async def _whole(answer: Answer) -> bytes | None:
    """Read a body to its end; None for one that is too large."""
    assert not isinstance(answer.body, bytes)
    body = bytearray()
    try:
        async for piece in answer.body:
            body += piece
            if len(body) > MOST:
                return None
    finally:
        await _close(answer)
    return bytes(body)


async def _close(answer: Answer) -> None:
    close = getattr(answer.body, "aclose", None)
    if close is not None:
        await close()
