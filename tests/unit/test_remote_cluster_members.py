"""Who is in a cluster: nodes join, leave, die and come back, and the place itself fails."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from tests.support.cluster import OWN, Clock, MemoryPlace, members

from wherry.errors import EngineUnavailable
from wherry.remote.cluster.members import UNFIT, Members
from wherry.remote.cluster.metrics import ClusterNumbers
from wherry.remote.cluster.seal import Seal

A, B = "http://10.0.0.2:1717", "http://10.0.0.3:1717"


@pytest.fixture
def place() -> MemoryPlace:
    return MemoryPlace(Clock())


async def hosts(of: Members) -> list[str]:
    return [node.host for node in await of.nodes()]


async def test_a_node_writes_itself_down_and_is_not_among_the_others(place: MemoryPlace) -> None:
    one = members(place)
    await one.write()
    place.node(A, 0.5)
    assert await hosts(one) == [A]
    assert json.loads(place.files["10.0.0.1-1717.json"].data)["host"] == OWN


async def test_what_is_read_is_used_for_the_cache_interval(place: MemoryPlace) -> None:
    one = members(place)
    place.node(A, 0.5)
    assert await hosts(one) == [A]
    place.node(B, 0.5)
    place.clock.now += 2.9
    assert await hosts(one) == [A]
    place.clock.now += 0.2
    assert await hosts(one) == [A, B]
    assert place.reads == 2


async def test_many_requests_at_once_read_the_place_once(place: MemoryPlace) -> None:
    one = members(place)
    await asyncio.gather(*(one.nodes() for _ in range(50)))
    assert place.reads == 1


async def test_a_node_that_stops_writing_is_gone_after_three_refreshes(place: MemoryPlace) -> None:
    one = members(place)
    place.node(A, 0.5)
    place.node(B, 0.5)
    place.clock.now += 60
    place.node(B, 0.5)
    assert await hosts(one) == [A, B]
    place.clock.now += 31
    assert await hosts(one) == [B]


async def test_a_node_that_leaves_is_gone_at_the_next_read(place: MemoryPlace) -> None:
    one, other = members(place), members(place, own=A)
    await other.write()
    assert await hosts(one) == [A]
    await other.leave()
    place.clock.now += 4
    assert await hosts(one) == []


async def test_a_node_that_has_left_writes_nothing_more(place: MemoryPlace) -> None:
    turn = asyncio.Event()

    async def pause(seconds: float) -> None:
        await turn.wait()

    one = members(place, pause=pause)
    await one.join()
    assert list(place.files) == ["10.0.0.1-1717.json"]
    await one.leave()
    turn.set()
    await asyncio.sleep(0)
    assert place.files == {}
    await one.leave()


async def test_files_that_are_no_states_are_told_of_once_and_harm_nobody(
    place: MemoryPlace, caplog: pytest.LogCaptureFixture
) -> None:
    one = members(place)
    place.put("bad.json", b'{"host": "http://10.')
    place.put("notes.txt", b"the nodes of the cluster")
    place.put("evil.json", b'{"host": "http://169.254.169.254", "load": 0}')
    place.node(A, 0.5)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert await hosts(one) == [A]
            place.clock.now += 4
    assert sorted(record.about for record in caplog.records) == [  # type: ignore[attr-defined]
        "bad.json",
        "evil.json",
        "notes.txt",
    ]


async def test_two_files_of_one_host_are_one_node_and_the_newer_one_is_true(
    place: MemoryPlace,
) -> None:
    one = members(place)
    place.put("old", json.dumps({"host": A, "load": 0.9}).encode())
    place.clock.now += 1
    place.put("new", json.dumps({"host": f"{A}/", "load": 0.1}).encode())
    assert [(node.host, node.load) for node in await one.nodes()] == [(A, 0.1)]


async def test_without_the_clusters_token_a_file_makes_nobody_a_node(place: MemoryPlace) -> None:
    one = members(place, sealed_only=True, seal=Seal("ours"))
    place.node(A, 0.0)
    await members(place, own=B, seal=Seal("theirs"), sealed_only=True).write()
    assert await hosts(one) == []
    place.clock.now += 4
    await members(place, own=B, seal=Seal("ours"), sealed_only=True).write()
    assert await hosts(one) == [B]


async def test_a_state_tells_nothing_by_which_a_token_could_be_guessed(place: MemoryPlace) -> None:
    await members(place, seal=Seal("the token of all clients")).write()
    fields = json.loads(place.files["10.0.0.1-1717.json"].data)
    assert set(fields) == {"host", "load", "time", "key"}


async def test_a_place_that_fails_leaves_the_nodes_that_were_read_until_they_are_stale(
    place: MemoryPlace, caplog: pytest.LogCaptureFixture
) -> None:
    one = members(place)
    place.node(A, 0.5)
    assert await hosts(one) == [A]
    place.broken = True
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            place.clock.now += 20
            assert await hosts(one) == [A]
            await one.write()
        place.clock.now += 20
        assert await hosts(one) == []
        place.broken = False
        await one.write()
        place.node(A, 0.5)
        place.clock.now += 4
        assert await hosts(one) == [A]
    said = [record.message for record in caplog.records]
    assert said == [
        "the shared place cannot be read",
        "the shared place cannot be written",
        "the shared place can be written again",
        "the shared place can be read again",
    ]


async def test_a_place_that_hangs_holds_no_request_up_for_long(
    place: MemoryPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.remote.cluster.members._PATIENCE", 0.01)
    one = members(place)
    place.node(A, 0.5)
    assert await hosts(one) == [A]
    place.hanging = asyncio.Event()
    place.clock.now += 4
    async with asyncio.timeout(5):
        assert [await hosts(one) for _ in range(3)] == [[A]] * 3
    assert place.reads == 2  # the one that hangs is not joined by others
    place.node(B, 0.5)
    place.hanging.set()
    async with asyncio.timeout(5):
        while await hosts(one) != [A, B]:
            await asyncio.sleep(0)


async def test_a_node_that_did_not_answer_is_left_alone_until_it_writes_again(
    place: MemoryPlace,
) -> None:
    one = members(place)
    place.node(A, 0.5)
    place.node(B, 0.5)
    first, _ = await one.nodes()
    one.drop(first, reason="no connection")
    assert await hosts(one) == [B]
    assert one.dropped() == {A: "no connection"}
    place.clock.now += 60
    place.node(B, 0.5)
    assert await hosts(one) == [B]
    place.node(A, 0.5)
    place.clock.now += 4
    assert await hosts(one) == [A, B]
    assert one.dropped() == {}


async def test_a_node_that_writes_and_does_not_answer_is_asked_less_and_less(
    place: MemoryPlace,
) -> None:
    one = members(place)
    waits = []
    for _ in range(6):
        place.clock.now += 4
        place.node(A, 0.5)
        (node,) = await one.nodes()
        one.drop(node, reason="silent")
        since = place.clock.now
        while not await one.nodes():
            place.clock.now += 1
            place.node(A, 0.5)
        waits.append(place.clock.now - since)
    assert waits == sorted(waits)
    assert waits[0] <= 8
    assert 60 <= waits[-1] <= 64


async def test_a_node_that_was_started_anew_is_asked_at_once(place: MemoryPlace) -> None:
    one = members(place)
    await members(place, own=A).write()
    (node,) = await one.nodes()
    one.drop(node, reason="no connection")
    assert await hosts(one) == []
    await members(place, own=A).write()
    place.clock.now += 4
    assert await hosts(one) == [A]


async def test_a_node_that_answers_again_is_forgiven(place: MemoryPlace) -> None:
    one = members(place)
    place.node(A, 0.5)
    (node,) = await one.nodes()
    one.drop(node, reason="silent")
    one.answered(node)
    assert await hosts(one) == [A]


async def test_a_node_whose_engine_is_away_takes_no_containers(place: MemoryPlace) -> None:
    async def away() -> float:
        raise EngineUnavailable("the engine does not answer")

    one = members(place, measure=away)
    await one.write()
    assert one.load == UNFIT
    assert json.loads(place.files["10.0.0.1-1717.json"].data)["load"] == UNFIT


async def test_two_servers_that_say_they_are_at_one_place_are_told_of(
    place: MemoryPlace, caplog: pytest.LogCaptureFixture
) -> None:
    one, double = members(place), members(place)
    await one.write()
    await one.nodes()
    assert caplog.records == []
    await double.write()
    place.clock.now += 4
    with caplog.at_level(logging.WARNING):
        await one.nodes()
    assert [record.message for record in caplog.records] == ["another server has our address"]


async def test_a_state_is_written_at_every_refresh(place: MemoryPlace) -> None:
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError
        place.clock.now += seconds

    with pytest.raises(asyncio.CancelledError):
        await members(place, pause=pause).run()
    assert pauses == [30.0, 30.0, 30.0]
    assert place.files["10.0.0.1-1717.json"].modified == place.clock.wall()


async def test_numbers_tell_of_the_nodes_that_live_and_of_those_that_are_silent(
    place: MemoryPlace,
) -> None:
    one = members(place)
    one.load = 0.25
    place.node(A, 0.5)
    place.node(B, 0.5)
    first, _ = await one.nodes()
    one.drop(first, reason="no connection")
    told = {family.name: family.samples[0].value for family in ClusterNumbers(one).collect()}
    assert told == {
        "wherry_remote_cluster_load": 0.25,
        "wherry_remote_cluster_nodes": 2,
        "wherry_remote_cluster_silent_nodes": 1,
    }
