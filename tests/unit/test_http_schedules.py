"""``/system/schedules``: what it takes, what it shows, and who may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from tests.support.asgi import Asgi
from tests.support.functions import Registry
from tests.support.scheduling import Scheduling, scheduling

from wherry.models import Exit, Output
from wherry.triggers.cron.model import Definition, Schedule
from wherry.triggers.cron.service import Schedules
from wherry.triggers.cron.sources import ScheduleSources
from wherry.triggers.http.app import gateway
from wherry.triggers.http.guarding import needed
from wherry.triggers.http.parts import Parts
from wherry.triggers.http.schedule_metrics import ScheduleMetrics

if TYPE_CHECKING:
    from wherry.triggers.cron.outputs import Write

NIGHTLY = {"name": "nightly", "schedule": "30 2 * * *", "timezone": "Europe/Paris", "kind": "run",
           "image": "busybox", "command": ["true"], "env": {"TOKEN": "s3cret"},
           "webhook": "https://hooks.example/s3cret"}  # fmt: skip


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Scheduling]:
    async with scheduling(tmp_path) as made:
        yield made


@pytest.fixture
def ask(on: Scheduling) -> Asgi:
    functions: Any = Registry()
    made = Schedules(on.scheduler, ScheduleSources(on.scheduler))
    service: Any = None
    return Asgi(gateway(Parts(service=service, functions=functions, schedules=made)))


async def test_a_schedule_is_put_shown_and_removed_without_its_secrets(ask: Asgi) -> None:
    answer = await ask("POST /system/schedules", NIGHTLY)
    assert answer.status == 200
    shown = answer.json
    assert "s3cret" not in answer.text
    assert (shown["name"], shown["source"], shown["paused"], shown["running"]) == (
        "nightly", "api", False, 0)  # fmt: skip
    assert shown["nextAt"] == "2026-01-01T01:30:00Z"
    assert shown["definition"]["env"] == {"TOKEN": "…"}
    assert (await ask("GET /system/schedules/nightly")).json == shown
    assert (await ask("GET /system/schedules")).json == {"schedules": [shown], "problems": {}}
    assert (await ask("DELETE /system/schedules/nightly")).status == 202
    assert (await ask("GET /system/schedules/nightly")).status == 404


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"schedule": "0 0 0 1 1 * 2030"}, 400, "has 7 fields"),
        ({"schedule": 5}, 400, "schedule: expected"),
        ({"kind": "service-run", "volumes": None, "env": None}, 400, "Swarm"),
        ({"overlap": "maybe"}, 400, "overlap"),
        ({"name": "a/b"}, 400, "name: 'a/b' is no name"),
    ],
)
async def test_what_cannot_be_is_refused(
    ask: Asgi, change: dict[str, Any], status: int, says: str
) -> None:
    answer = await ask("POST /system/schedules", {**NIGHTLY, **change})
    assert (answer.status, says in answer.text) == (status, True), answer.text


async def test_what_a_file_declares_is_changed_there(ask: Asgi, on: Scheduling) -> None:
    definition = Definition(name="nightly", schedule="@daily", function="f")
    await on.scheduler.define(definition, source="/etc/wherry.toml")
    for request in ("POST /system/schedules", "DELETE /system/schedules/nightly"):
        answer = await ask(request, NIGHTLY)
        assert (answer.status, "/etc/wherry.toml" in answer.text) == (409, True)


async def test_a_run_is_asked_for_listed_and_read(ask: Asgi, on: Scheduling) -> None:
    async def do(schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        write(Output("stdout", b"out\n"))
        write(Output("stderr", b"err\n"))
        return Exit(3)

    on.scheduler._do = do
    await ask("POST /system/schedules", NIGHTLY)
    started = await ask("POST /system/schedules/nightly/run")
    assert (started.status, started.json["cause"]) == (202, "asked")
    ended = await ask(f"GET /system/schedules/nightly/runs/{started.json['id']}?wait=10")
    assert ended.json["status"] == "failed"
    (run,) = (await ask("GET /system/schedules/nightly/runs")).json
    assert (run["status"], run["exitCode"], run["schedule"]) == ("failed", 3, "nightly")
    at = f"GET /system/schedules/nightly/runs/{run['id']}"
    assert (await ask(at)).json == run
    assert (await ask(f"{at}/stdout")).body == b"out\n"
    assert (await ask(f"{at}/stderr")).body == b"err\n"
    assert (await ask("GET /system/schedules/nightly/runs/none")).status == 404
    assert (await ask("POST /system/schedules/none/run")).status == 404
    assert (await ask("GET /system/schedules/nightly/runs?limit=0")).status == 400


async def test_the_coming_runs_are_previewed(ask: Asgi) -> None:
    await ask("POST /system/schedules", {**NIGHTLY, "schedule": "0 0 1 1 *", "timezone": "UTC"})
    found = (await ask("GET /system/schedules/nightly/next?count=2")).json
    assert [each[4:] for each in found] == ["-01-01T00:00:00Z"] * 2


async def test_a_pause_holds_until_it_is_resumed(ask: Asgi) -> None:
    await ask("POST /system/schedules", NIGHTLY)
    paused = (await ask("POST /system/schedules/nightly/pause")).json
    assert (paused["paused"], "nextAt" in paused) == (True, False)
    resumed = (await ask("POST /system/schedules/nightly/resume")).json
    assert (resumed["paused"], "nextAt" in resumed) == (False, True)


def test_who_defines_schedules_is_an_admin_and_who_starts_them_may_deploy() -> None:
    assert needed("/system/schedules", "POST") == "admin"
    assert needed("/system/schedules/x", "DELETE") == "admin"
    assert needed("/system/schedules/x/run", "POST") == "deploy"
    assert needed("/system/schedules/x/runs/1/stdout", "GET") == "read"


async def test_runs_are_counted_by_how_they_ended_until_their_schedule_is_gone(
    on: Scheduling,
) -> None:
    metrics, registry = ScheduleMetrics(), CollectorRegistry()
    registry.register(metrics)
    metrics.known = on.scheduler.known
    on.did.exits = [Exit(1)]
    await on.add("hourly", "0 * * * *")
    await on.pass_time(3 * 3600)
    for run in on.told:
        metrics.note(run)
    text = generate_latest(registry).decode()
    assert 'wherry_schedule_runs_total{schedule="hourly",status="failed"} 1.0' in text
    assert 'wherry_schedule_runs_total{schedule="hourly",status="succeeded"} 2.0' in text
    assert 'last_success_timestamp_seconds{schedule="hourly"} 1.7672364e+09' in text
    await on.scheduler.remove("hourly")
    assert "hourly" not in generate_latest(registry).decode()


async def test_what_a_run_has_written_by_now_can_be_read_while_it_goes_on(
    on: Scheduling, ask: Asgi
) -> None:
    wrote, gate = asyncio.Event(), asyncio.Event()

    async def slow(schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        write(Output("stdout", b"half"))
        write(Output("stderr", b"warned"))
        wrote.set()
        await gate.wait()
        return Exit(0)

    on.scheduler._do = slow
    await on.add("slow", "@daily")
    await on.add("other", "@daily")
    run = (await ask("POST /system/schedules/slow/run")).json
    await wrote.wait()
    at = f"/system/schedules/slow/runs/{run['id']}"
    for _ in range(2):
        assert (await ask(f"GET {at}/stdout")).body == b"half"
        assert (await ask(f"GET {at}/stderr")).body == b"warned"
        gate.set()
        await on.scheduler.settled()
    other = f"/system/schedules/other/runs/{run['id']}"
    assert (await ask(f"GET {other}/stdout")).status == 404
