"""What stands in front of a node: who is asked, and what is answered when some do not answer."""

from __future__ import annotations

import pytest
from tests.support.cluster import OWN
from tests.support.cluster_front import A, B, Cluster, fields, lacks

from wherry.errors import NotFound
from wherry.remote import answers
from wherry.remote.cluster.peers import NoAnswer, NotAsked
from wherry.remote.faults import Fault
from wherry.remote.model import Answer, Call


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


# ---- containers --------------------------------------------------------------------------------


async def test_a_container_runs_on_the_least_loaded_node(cluster: Cluster) -> None:
    cluster.node(A, 0.4)
    cluster.node(B, 0.1)
    assert fields(await cluster.ask("PUT"))["raw"] == f"{B}\n"
    assert cluster.asked == [B]
    assert not cluster.here


async def test_it_runs_here_when_nobody_is_less_loaded(cluster: Cluster) -> None:
    cluster.node(A, 0.5)
    cluster.node(B, 0.9)
    assert fields(await cluster.ask("PUT"))["raw"] == f"{OWN}\n"
    assert cluster.asked == []


async def test_nodes_that_are_equally_loaded_take_turns(cluster: Cluster) -> None:
    cluster.node(A, 0.1)
    cluster.node(B, 0.1)
    for _ in range(4):
        await cluster.ask("PUT")
    assert cluster.asked == [A, B, A, B]


async def test_a_node_that_was_not_asked_is_dropped_and_the_next_one_is_tried(
    cluster: Cluster,
) -> None:
    cluster.node(A, 0.1, lambda _: NotAsked("no connection"))
    cluster.node(B, 0.2)
    assert fields(await cluster.ask("PUT"))["raw"] == f"{B}\n"
    assert cluster.asked == [A, B]
    await cluster.ask("PUT")
    assert cluster.asked == [A, B, B]


async def test_when_nobody_answers_it_runs_here(cluster: Cluster) -> None:
    for host in (A, B):
        cluster.node(host, 0.1, lambda _: NotAsked("no connection"))
    assert fields(await cluster.ask("PUT"))["raw"] == f"{OWN}\n"


async def test_a_request_that_a_node_took_is_never_sent_to_another_one(cluster: Cluster) -> None:
    cluster.node(A, 0.1, lambda _: NoAnswer("the connection was closed"))
    cluster.node(B, 0.2)
    with pytest.raises(Fault, match=rf"{A} took the request .* may have carried it out") as raised:
        await cluster.ask("PUT")
    assert (raised.value.status, raised.value.compatible) == (502, 500)
    assert cluster.asked == [A]
    assert not cluster.here


@pytest.mark.parametrize(
    "answer",
    [Answer(status=401), Answer(status=503, headers={"docker-server-turned-away": "1"})],
)
async def test_a_node_that_turns_it_away_leaves_it_to_the_next(
    cluster: Cluster, answer: Answer
) -> None:
    cluster.node(A, 0.1, lambda _: answer)
    cluster.node(B, 0.2)
    assert fields(await cluster.ask("PUT"))["raw"] == f"{B}\n"


@pytest.mark.parametrize("status", [200, 202, 400, 403, 409, 429, 500, 502, 503])
async def test_every_other_answer_of_a_node_is_the_answer(cluster: Cluster, status: int) -> None:
    cluster.node(A, 0.1, lambda _: Answer(status=status, body=b"{}"))
    assert (await cluster.ask("PUT")).status == status


async def test_a_request_without_a_body_is_refused_here(cluster: Cluster) -> None:
    cluster.node(A, 0.0)
    await cluster.ask("PUT", body=b"")
    assert cluster.asked == []


# ---- all nodes ---------------------------------------------------------------------------------


async def test_a_list_has_the_rows_of_every_node(cluster: Cluster) -> None:
    cluster.node(A, 0.1)
    cluster.node(B, 0.1)
    answer = await cluster.ask("GET")
    assert fields(answer) == [{"names": host, "host": host} for host in (OWN, A, B)]
    assert answer.headers["docker-server-nodes"] == "3"
    assert "docker-server-failed" not in answer.headers


async def test_a_node_that_fails_is_named_and_the_list_keeps_its_shape(cluster: Cluster) -> None:
    cluster.node(A, 0.1, lambda _: NoAnswer("no sign of it in time"))
    cluster.node(B, 0.1, lambda _: Answer(status=500, body=b"<html>"))
    answer = await cluster.ask("GET")
    assert fields(answer) == [{"names": OWN, "host": OWN}]
    assert answer.headers["docker-server-failed"] == (
        f"{A} (no sign of it in time), {B} (it answered 500)"
    )


async def test_a_strict_list_has_rows_for_nodes_that_failed() -> None:
    cluster = Cluster(strict=True)
    cluster.node(A, 0.1, lambda _: NoAnswer("no connection"))
    assert fields(await cluster.ask("GET")) == [
        {"names": OWN, "host": OWN},
        {"host": A, "error": "no connection"},
    ]


async def test_a_node_that_was_dropped_is_not_asked_but_still_named(cluster: Cluster) -> None:
    cluster.node(A, 0.1, lambda _: NoAnswer("no connection"))
    for _ in range(3):
        answer = await cluster.ask("GET")
        assert answer.headers["docker-server-failed"] == f"{A} (no connection)"
    assert cluster.asked == [A]


async def test_our_own_failure_does_not_hide_the_rows_of_others(cluster: Cluster) -> None:
    cluster.does = lambda _: Fault("the engine is away", status=503)
    cluster.node(A, 0.1)
    answer = await cluster.ask("GET")
    assert fields(answer) == [{"names": A, "host": A}]
    assert answer.headers["docker-server-failed"] == f"{OWN} (it answered 503)"


async def test_our_own_engine_that_hangs_holds_up_nobodys_list(cluster: Cluster) -> None:
    cluster.hangs = True
    with pytest.raises(Fault, match=f"these did not answer: {OWN} .no answer within 0.05 s"):
        await cluster.ask("GET")
    cluster.node(A, 0.1)
    cluster.place.clock.now += 4
    answer = await cluster.ask("GET")
    assert fields(answer) == [{"names": A, "host": A}]
    assert answer.headers["docker-server-failed"] == f"{OWN} (no answer within 0.05 s)"


async def test_when_every_node_fails_so_does_the_list(cluster: Cluster) -> None:
    cluster.does = lambda _: Fault("the engine is away", status=503, compatible=500)
    cluster.node(A, 0.1, lambda _: NoAnswer("no connection"))
    answer = await cluster.ask("GET")
    assert answer.status == 500
    assert fields(answer)["error"] == "the engine is away"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_the_node_that_has_the_container_answers(cluster: Cluster, method: str) -> None:
    cluster.does = lacks
    cluster.node(A, 0.1, lacks)
    cluster.node(B, 0.1)
    answer = await cluster.ask(method, "web")
    found = fields(answer)
    assert (answer.status, found["raw"], found["host"]) == (200, f"{B}\n", B)
    assert [each["host"] for each in found["nodes"]] == [OWN, A, B]


async def test_what_is_missing_everywhere_is_missing(cluster: Cluster) -> None:
    cluster.does = lambda _: NotFound("No such container: web")
    cluster.node(A, 0.1, lacks)
    answer = await cluster.ask("GET", "web")
    assert answer.status == 500
    assert fields(answer)["error"] == "No such container: web"


async def test_a_strict_answer_does_not_say_missing_while_a_node_is_silent() -> None:
    cluster = Cluster(strict=True)
    cluster.does = lambda _: NotFound("No such container: web")
    cluster.node(A, 0.1, lambda _: NoAnswer("no connection"))
    with pytest.raises(Fault, match=f"these did not answer: {A}") as raised:
        await cluster.ask("GET", "web")
    assert raised.value.status == 503


async def test_a_removal_of_nothing_is_a_success_and_names_the_silent_node(
    cluster: Cluster,
) -> None:
    cluster.does = lacks
    cluster.node(A, 0.1, lambda _: NoAnswer("no connection"))
    answer = await cluster.ask("DELETE", "web")
    assert (answer.status, fields(answer)["raw"]) == (200, "")
    assert answer.headers["docker-server-failed"] == f"{A} (no connection)"


async def test_an_image_is_pulled_by_every_node(cluster: Cluster) -> None:
    cluster.does = lambda _: Answer()
    cluster.node(A, 0.1, lambda _: Answer())
    answer = await cluster.ask("HEAD", "library/redis:7")
    assert (answer.status, answer.body) == (200, b"")
    assert cluster.network.asked == [(A, "HEAD library/redis:7")]
    cluster.node(B, 0.1, lambda _: Answer(status=500))
    cluster.place.clock.now += 4
    answer = await cluster.ask("HEAD", "library/redis:7")
    assert answer.status == 200
    assert answer.headers["docker-server-failed"] == f"{B} (it answered 500)"


async def test_a_stream_comes_from_the_node_that_has_the_container(cluster: Cluster) -> None:
    cluster.does = lambda _: NotFound("No such container: web")
    cluster.node(A, 0.1, lacks)
    cluster.node(B, 0.1)
    answer = await cluster.ask("GET", "web", query={"stream": "1"})
    assert fields(answer)["raw"] == f"{B}\n"
    assert sorted(cluster.network.asked) == [(A, "GET web"), (B, "GET web"), (B, "GET web")]


async def test_a_stream_of_our_own_container_is_not_relayed(cluster: Cluster) -> None:
    cluster.node(A, 0.1, lacks)
    answer = await cluster.ask("GET", "web", query={"follow": "1"})
    assert fields(answer)["raw"] == f"{OWN}\n"
    assert cluster.asked == [A]


class Endless:
    """Logs that are too long to be held."""

    def __init__(self) -> None:
        self.left = 40
        self.closed = False

    def __aiter__(self) -> Endless:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return b"x" * 1024 * 1024

    async def aclose(self) -> None:
        self.closed = True


async def test_logs_that_are_too_long_to_be_merged_come_as_they_are(cluster: Cluster) -> None:
    given: list[Endless] = []

    def does(asked: Call) -> Answer | Exception:
        if "inspect" in asked.query:
            return answers.document({"raw": "[]"})
        given.append(Endless())
        return Answer(body=given[-1])

    cluster.does = does
    cluster.node(A, 0.1, lacks)
    answer = await cluster.ask("GET", "web")
    assert given[0].closed
    assert given[0].left > 0
    assert answer.body is given[1]


@pytest.mark.parametrize(
    ("method", "target"), [("PATCH", "web"), ("PUT", "web"), ("POST", ""), ("DELETE", "")]
)
async def test_what_is_no_route_bothers_nobody_else(
    cluster: Cluster, method: str, target: str
) -> None:
    cluster.node(A, 0.1)
    await cluster.ask(method, target)
    assert (cluster.asked, len(cluster.here)) == ([], 1)
