"""Where schedules come from: our file, ofelia's files and labels; what is wrong stays as it was."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.scheduling import START, Scheduling, scheduling

from wherry.errors import EngineUnavailable, UsageError
from wherry.triggers.cron import labels, ofelia, swarm, tables
from wherry.triggers.cron.labels import Labelled
from wherry.triggers.cron.model import Definition
from wherry.triggers.cron.sources import LABELS, ScheduleSources, read_file

THIRTY = """\
; jobs of a small company
[global]
slack-webhook = https://hooks.slack.com/services/T0/B0/X
save-folder = "/var/log/jobs"   # for all of them
Mail-Only-On-Error = true
smtp-host = mail.example.org
smtp-port = 587
email-to = ops@example.org, boss@example.org
email-from = cron@example.org

[job-run "backup"]
schedule = 0 30 2 * * *
image = postgres:16
command = sh -c "pg_dump -h db app > /backup/app.sql"
User = postgres
volume = /srv/backup:/backup
VOLUME = /etc/pg:/etc/pg:ro
environment = PGPASSWORD=s3cret
environment = PGSSLMODE=require
network = host
pull = false
no-overlap

[job-exec "rotate"]
schedule = @daily
container = web
command = nginx -s reopen
user = root
tty = true

[job-local "disk"]
schedule = @every 5m
command = df -h /
dir = /tmp
environment = LC_ALL=C
no-overlap = true

[job-run "again"]
schedule = @hourly
container = datecontainer

""" + "\n".join(
    f"""[job-{kind} "{kind} {number}"]
schedule = {number} {number} * * *
{where}
command = echo {number}
"""
    for number in range(13)
    for kind, where in (("exec", "container = c"), ("run", "image = busybox"))
)


@pytest.fixture
async def on(tmp_path: Path) -> AsyncIterator[Scheduling]:
    async with scheduling(tmp_path / "state") as made:
        yield made


def test_an_ini_of_thirty_jobs_is_read_as_ofelia_does() -> None:
    declared = ofelia.declared_in(THIRTY)
    assert declared.wrong == {}
    found = {each.name: each for each in declared.definitions}
    assert len(found) == 30
    backup = found["backup"]
    assert backup == Definition(
        name="backup", schedule="0 30 2 * * *", kind="run", image="postgres:16",
        command=["sh", "-c", "pg_dump -h db app > /backup/app.sql"], user="postgres",
        volumes=["/srv/backup:/backup:rw", "/etc/pg:/etc/pg:ro"],
        env={"PGPASSWORD": "s3cret", "PGSSLMODE": "require"}, network="host", pull="never",
        overlap="skip", slack_webhook="https://hooks.slack.com/services/T0/B0/X",
        save_folder="/var/log/jobs", smtp_host="mail.example.org", smtp_port=587,
        email_to=["ops@example.org", "boss@example.org"], email_from="cron@example.org",
        mail_only_on_error=True,
    )  # fmt: skip
    assert (found["rotate"].kind, found["rotate"].container) == ("exec", "web")
    assert (found["disk"].workdir, found["disk"].env) == ("/tmp", {"LC_ALL": "C"})
    assert (found["again"].container, found["again"].network) == ("datecontainer", None)
    assert (found["run 3"].overlap, found["run 3"].network) == ("allow", "private")
    assert found["exec 12"].schedule == "12 12 * * *"


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ('[job-run "x"]\nimage = i', "schedule: it is missing"),
        ('[job-run "x"]\nschedule = @daily', "image: it is missing"),
        ('[job-run "x"]\nschedule = 0 0 0 0 0 0 0\nimage = i', "has 7 fields"),
        ('[job-run "x"]\nschedule = @daily\nimage = i\nimige = j', "did you mean 'image'"),
        ('[job-run "x"]\nschedule = @daily\nimage = i\nnetwork = mine', "cannot be joined"),
        ('[job-run "x"]\nschedule = @daily\nimage = i\nvolumes-from = o', "volumes-from"),
        ('[job-rum "x"]\nschedule = @daily', "did you mean 'job-run'"),
        ('[job-local "x"]\nschedule = @daily\ncommand = "\'a"', "cannot be cut into words"),
        ('[job-local "x"]\nschedule = @daily\ncommand = a\nno-overlap = maybe', "neither true"),
        ('[job-local "x"]\nschedule = @daily\ncommand = a\nenvironment = A', "no value"),
        ('[job-local "x"]\nschedule = @daily\ncommand = a\nimage = i', "kind 'local' has none"),
    ],
)
def test_one_wrong_job_is_named_and_leaves_the_others(section: str, says: str) -> None:
    declared = ofelia.declared_in(f'{section}\n[job-local "y"]\nschedule=@daily\ncommand=b\n')
    assert [each.name for each in declared.definitions] == ["y"]
    assert says in declared.wrong["x"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("schedule = x", "line 1: 'schedule = x' stands before"),
        ("[job-run", "line 1"),
        ('[job-run "x"]\n= 5', "line 2"),
        ('[job-run "x"]\ncommand = "a', 'line 2: a " is missing'),
    ],
)
def test_what_is_no_ini_is_refused_by_its_line(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        ofelia.declared_in(text)
    assert says in str(caught.value)


def test_lines_go_on_after_a_backslash_and_quotes_keep_comments() -> None:
    text = '[job-local "a"] ; note\nschedule = "@daily" # x\ncommand = echo "a; b" \\\n  c # d\n'
    (found,) = ofelia.declared_in(text).definitions
    assert (found.schedule, found.command) == ("@daily", ["echo", "a; b", "c"])
    assert ofelia.declared_in("# nothing\n").definitions == ()


def test_containers_declare_jobs_by_their_labels() -> None:
    jobs = {
        f"ofelia.job-exec.job{number}.{key}": value
        for number in range(10)
        for key, value in (("schedule", f"{number} * * * *"), ("command", "date"))
    }
    web = Labelled("web", {"ofelia.enabled": "true", **jobs, "ofelia.job-run.no.schedule": "@daily",
                           "ofelia.job-exec.job0.no-overlap": "true"})  # fmt: skip
    service = Labelled("ofelia", {
        "ofelia.enabled": "true", "ofelia.service": "true", "ofelia.save-folder": "/var/log/jobs",
        "ofelia.job-run.nightly.schedule": "@daily", "ofelia.job-run.nightly.image": "busybox",
        "ofelia.job-run.nightly.volume": '["/a:/b", "/c:/d:ro"]', "other": "label",
    })  # fmt: skip
    off = Labelled("off", {"ofelia.job-exec.x.schedule": "@daily"})
    declared = labels.declared_by([web, service, off])
    assert declared.wrong == {}
    found = {each.name: each for each in declared.definitions}
    assert set(found) == {"nightly", *(f"web.job{number}" for number in range(10))}
    assert (found["web.job3"].container, found["web.job3"].command) == ("web", ["date"])
    assert (found["web.job0"].overlap, found["web.job1"].overlap) == ("skip", "allow")
    assert found["nightly"].volumes == ["/a:/b:rw", "/c:/d:ro"]
    assert {each.save_folder for each in found.values()} == {"/var/log/jobs"}


def test_our_own_tables_have_the_fields_of_a_definition() -> None:
    declared = tables.declared_in({"schedules": {
        "a": {"schedule": "@daily", "function": "f", "catch_up": "1h", "timeout": 90,
              "smtp_host": "m", "email_to": ["a@b.c"], "email_from": "d@e.f"},
        "b": {"schedule": "@daily", "function": "f", "retires": 3},
        "c": {"schedule": "@daily", "function": "f", "catch_up": ["x"]},
        "d": {"function": "f"},
        "e": {"schedule": "61 * * * *", "function": "f"},
        "f": 5,
    }})  # fmt: skip
    (a,) = declared.definitions
    assert (a.name, a.catch_up, a.timeout) == ("a", "1h", 90)
    assert "did you mean 'retries'" in declared.wrong["b"]
    assert declared.wrong["c"].startswith("schedules.c.catch_up: expected")
    assert "schedule" in declared.wrong["d"]
    assert declared.wrong["e"].startswith("schedules.e.schedule: '61' is nothing")
    assert declared.wrong["f"].startswith("schedules.f: 5 must be a table")


def write(path: Path, text: str) -> None:
    path.write_text(text)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


async def test_a_broken_edit_leaves_the_old_jobs_running(on: Scheduling, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "wherry.toml", tmp_path / "ofelia.ini"
    write(ours, '[schedules.a]\nschedule = "0 * * * *"\nfunction = "f"\n'
                '[schedules.b]\nschedule = "0 * * * *"\nfunction = "f"\n')  # fmt: skip
    write(theirs, '[job-local "c"]\nschedule = 0 * * * *\ncommand = x\n')
    sources = ScheduleSources(on.scheduler, [ours, theirs])
    await sources.apply()
    assert sources.problems == {}
    assert {name: known.entry.source for name, known in on.scheduler.known.items()} == {
        "a": str(ours), "b": str(ours), "c": str(theirs)}  # fmt: skip

    write(ours, '[schedules.a]\nschedule = "0 25 * * *"\nfunction = "f"\n'
                '[schedules.d]\nschedule = "30 * * * *"\nfunction = "f"\n')  # fmt: skip
    write(theirs, "this is no ini")
    await sources.apply()
    assert set(on.scheduler.known) == {"a", "c", "d"}
    assert "field hour" in sources.problems[str(ours)]
    assert "line 1" in sources.problems[str(theirs)]
    await on.pass_time(3600)
    assert sorted(name for name, _ in on.did.runs) == ["a", "c", "d"]

    theirs.unlink()
    ours.write_text("not toml [")
    await sources.apply()
    assert set(on.scheduler.known) == {"a", "c", "d"}

    write(ours, "")
    write(theirs, "")
    await sources.apply()
    assert sources.problems == {}
    assert on.scheduler.known == {}


async def test_thirty_jobs_run_and_a_broken_edit_leaves_all_of_them(
    on: Scheduling, tmp_path: Path
) -> None:
    file = tmp_path / "ofelia.ini"
    write(file, THIRTY)
    sources = ScheduleSources(on.scheduler, [file])
    await sources.apply()
    assert (len(on.scheduler.known), sources.problems) == (30, {})
    write(file, THIRTY.replace("schedule = 3 3 * * *", "schedule = 3 33 * * *"))
    await sources.apply()
    assert len(on.scheduler.known) == 30
    assert sources.problems[str(file)].count("'33' is nothing that the field hour can be") == 2
    write(file, THIRTY[: len(THIRTY) // 2] + '\n[job-run "cut')
    await sources.apply()
    assert len(on.scheduler.known) == 30
    await on.pass_time(86400)
    assert on.did.times("run 3") == on.did.times("exec 3") == [START + 3 * 3600 + 180]
    assert {f"exec {number}" for number in range(13)} <= {name for name, _ in on.did.runs}


async def test_a_broken_edit_of_labels_leaves_the_old_jobs_of_the_set(on: Scheduling) -> None:
    given = {"ofelia.enabled": "true"}
    for number in range(30):
        given[f"ofelia.job-exec.j{number}.schedule"] = f"{number} * * * *"
        given[f"ofelia.job-exec.j{number}.command"] = f"echo {number}"

    async def look() -> list[Labelled]:
        return [Labelled("web", given)]

    sources = ScheduleSources(on.scheduler, look=look)
    await sources.apply()
    assert (len(on.scheduler.known), sources.problems) == (30, {})
    given["ofelia.job-exec.j7.schedule"] = "7 25 * * *"
    given["ofelia.job-exec.j8.schedule"] = "58 * * * *"
    await sources.apply()
    assert "web.j7" in sources.problems[LABELS]
    assert "field hour" in sources.problems[LABELS]
    await on.pass_time(3599)
    assert len(on.did.runs) == 29  # minute 0 has passed
    assert on.did.times("web.j7") == [START + 420]
    assert on.did.times("web.j8") == [START + 58 * 60]


def test_a_service_run_of_ofelia_joins_its_network() -> None:
    declared = ofelia.declared_in(
        '[job-service-run "s"]\nschedule = @daily\nimage = busybox\nnetwork = swarm_net\n'
        "command = echo hi\nuser = me\ndelete = true\n"
    )
    assert declared.definitions == (
        Definition(name="s", schedule="@daily", kind="service-run", image="busybox", user="me",
                   networks=["swarm_net"], command=["echo", "hi"], overlap="allow"),
    )  # fmt: skip


async def test_what_other_files_declared_goes_and_what_was_added_by_hand_stays(
    on: Scheduling, tmp_path: Path
) -> None:
    await on.add("by hand", "@daily")
    await on.scheduler.define(Definition(name="old", schedule="@daily", function="f"), source="/x")
    file = tmp_path / "w.toml"
    write(file, '[schedules."by hand"]\nschedule = "@daily"\nfunction = "f"\n')
    sources = ScheduleSources(on.scheduler, [file])
    await sources.apply()
    assert set(on.scheduler.known) == {"by hand"}
    assert "is a schedule of api" in sources.problems[str(file)]


async def test_a_failed_look_at_the_engine_changes_nothing(on: Scheduling) -> None:
    there = [Labelled("web", {"ofelia.enabled": "true", "ofelia.job-exec.j.schedule": "@daily",
                              "ofelia.job-exec.j.command": "date"})]  # fmt: skip

    async def look() -> list[Labelled]:
        if not there:
            raise EngineUnavailable("the engine is away")
        return there

    sources = ScheduleSources(on.scheduler, look=look)
    await sources.apply()
    assert set(on.scheduler.known) == {"web.j"}
    kept = there.pop()
    await sources.apply()
    assert set(on.scheduler.known) == {"web.j"}
    assert sources.problems == {LABELS: "the engine is away"}
    there.append(Labelled("web", {"ofelia.enabled": "true"}))
    await sources.apply()
    assert on.scheduler.known == {}
    there[:] = [kept]
    await sources.apply()
    assert set(on.scheduler.known) == {"web.j"}


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("none.toml", "none.ini"):
        with pytest.raises(UsageError, match=f"{name}.*cannot be read"):
            read_file(tmp_path / name)
    (tmp_path / "bytes.ini").write_bytes(b"[job-run \xff]")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read_file(tmp_path / "bytes.ini")


CRONJOB = {"swarm.cronjob.enable": "true", "swarm.cronjob.schedule": "0 */5 * * * *"}


def test_services_of_a_swarm_declare_schedules_by_the_labels_of_swarm_cronjob() -> None:
    every = {"skip-running": "true", "replicas": "3", "registry-auth": "true"}
    declared = swarm.declared_by([
        Labelled("report", {**CRONJOB, **{f"swarm.cronjob.{k}": v for k, v in every.items()}}),
        Labelled("plain", {**CRONJOB, "com.docker.stack.namespace": "s"}),
        Labelled("off", {**CRONJOB, "swarm.cronjob.enable": "false"}),
        Labelled("none", {"swarm.cronjob.schedule": "@daily"}),
    ])  # fmt: skip
    assert declared.wrong == {}
    assert declared.definitions == (
        Definition(name="plain", schedule="0 */5 * * * *", kind="service-run", service="plain",
                   overlap="replace", replicas=1),
        Definition(name="report", schedule="0 */5 * * * *", kind="service-run", service="report",
                   overlap="skip", replicas=3, registry_auth=True),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("label", "value", "says"),
    [
        ("schedule", "", "swarm.cronjob.schedule: it is missing"),
        ("schedule", "99 * * * *", "is nothing that the field minute can be"),
        ("schedule", "* * * * * * *", "has 7 fields"),
        ("replicas", "0", "swarm.cronjob.replicas: '0' is no number from 1"),
        ("skip-running", "perhaps", "neither true nor false"),
        ("enable", "perhaps", "neither true nor false"),
        ("skip-runing", "true", "did you mean 'skip-running'"),
    ],
)
def test_a_label_of_a_service_that_cannot_be_is_named(label: str, value: str, says: str) -> None:
    labels = {**CRONJOB, f"swarm.cronjob.{label}": value}
    declared = swarm.declared_by([Labelled("web", labels), Labelled("right", CRONJOB)])
    assert [each.name for each in declared.definitions] == ["right"]
    assert says in declared.wrong["web"]
    assert "service 'web'" in declared.wrong["web"]


async def test_labels_are_refused_clearly_where_no_swarm_can_be(on: Scheduling) -> None:
    async def look() -> list[Labelled]:
        return [Labelled("web", CRONJOB)]

    sources = ScheduleSources(on.scheduler, look_at_services=look)
    await sources.apply()
    assert on.scheduler.known == {}
    assert "need the docker engine, as a manager" in sources.problems["service labels"]
    on.scheduler.kinds |= {"service-run"}
    await sources.apply()
    assert on.scheduler.get("web").entry.source == "service labels"
    assert sources.problems == {}
