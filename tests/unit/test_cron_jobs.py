"""What a schedule runs, and who is told of it."""

from __future__ import annotations

import asyncio
import json
import os
import select
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.fake_gateway import fake_gateway
from tests.support.functions import Registry, deployed
from tests.support.mail_sink import mail_sink

from wherry.calls.retrying import Backoff
from wherry.client import AsyncClient
from wherry.errors import NotFound, ProgramNotFound, Unsupported, UsageError
from wherry.models import Exit, Output
from wherry.service.service import FunctionService
from wherry.testing import MemoryEngine
from wherry.triggers.cron.checking import check_allowed, checked, shown
from wherry.triggers.cron.clock import WallClock
from wherry.triggers.cron.jobs import Events, Jobs
from wherry.triggers.cron.model import OUTPUT, Definition, Run, Schedule
from wherry.triggers.cron.outputs import Outputs, Write
from wherry.triggers.cron.performing import StillRuns, perform
from wherry.triggers.cron.reporting import Reports

if TYPE_CHECKING:
    from wherry.service.call import Call

RUN = Run(number=1, id="a" * 32, name="job", cause="time", scheduled=0.0, status="waiting")


class Watching:
    """Remembers by what calls were asked for."""

    def __init__(self) -> None:
        self.triggers: list[str] = []

    def began(self, call: Call) -> None:
        self.triggers.append(call.trigger)

    def started(self, call: Call) -> None:
        pass

    def wrote(self, call: Call, output: Output) -> None:
        pass

    def ended(self, call: Call) -> None:
        pass


class FakeContainers:
    """Implements :class:`wherry.triggers.cron.jobs.Containers`."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    @asynccontextmanager
    async def exec(
        self,
        container: str,
        command: Sequence[str],
        *,
        stdin: AsyncIterable[bytes],
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
    ) -> AsyncIterator[Events]:
        given = b"".join([chunk async for chunk in stdin])
        self.asked.append((container, list(command), given, env, user, workdir))
        yield self.events()

    @asynccontextmanager
    async def start(self, container: str) -> AsyncIterator[Events]:
        self.asked.append(container)
        yield self.events()

    async def events(self) -> AsyncIterator[Output | Exit]:
        yield Output("stdout", b"out")
        yield Output("stderr", b"err")
        yield Exit(7)


@pytest.fixture
def watching() -> Watching:
    return Watching()


@pytest.fixture
async def jobs(watching: Watching) -> AsyncIterator[Jobs]:
    registry: Any = Registry(
        deployed("upper", "tr", "a-z", "A-Z"), deployed("server", mode="http", port=80)
    )
    async with AsyncClient(MemoryEngine()) as client:
        service = FunctionService(client, registry, observers=[watching])
        yield Jobs(service=service, client=client, containers=FakeContainers(), local=True)
        await service.aclose()


def definition(**fields: Any) -> Definition:
    return Definition(name="job", schedule="@daily", **fields)


async def done(jobs: Jobs, **fields: Any) -> tuple[Exit, bytes, bytes]:
    outputs = Outputs()
    exit_ = await jobs(checked(definition(**fields)), id="1" * 32, write=outputs.add)
    return exit_, outputs.stdout, outputs.stderr


async def test_a_function_is_called_as_by_every_other_trigger(
    jobs: Jobs, watching: Watching
) -> None:
    assert await done(jobs, function="upper", input="hi\n") == (Exit(0), b"HI\n", b"")
    assert watching.triggers == ["schedule"]
    with pytest.raises(NotFound):
        await done(jobs, function="none")
    with pytest.raises(Unsupported, match="speaks http"):
        await done(jobs, function="server")


async def test_an_image_is_run_with_its_streams_apart(jobs: Jobs) -> None:
    script = ["sh", "-c", "echo out; echo err >&2; exit 3"]
    came = await done(jobs, kind="run", image="busybox", command=script)
    assert came == (Exit(3), b"out\n", b"err\n")


async def test_a_program_runs_in_a_container_by_name(jobs: Jobs) -> None:
    came = await done(jobs, kind="exec", container="web", command=["ls"], user="me", input="x")
    assert came == (Exit(7), b"out", b"err")
    assert await done(jobs, kind="run", container="old") == came
    assert jobs._containers.asked == [("web", ["ls"], b"x", None, "me", None), "old"]  # type: ignore[union-attr]


async def test_a_program_of_this_machine_runs_with_all_it_starts(
    jobs: Jobs, tmp_path: Path
) -> None:
    script = "cat; echo $A in $PWD; echo err >&2; sleep 600 & exit 4"
    came = await done(
        jobs, kind="local", command=["sh", "-c", script], env={"A": "b"}, input="in\n",
        workdir=str(tmp_path),
    )  # fmt: skip
    assert came == (Exit(4), f"in\nb in {tmp_path}\n".encode(), b"err\n")
    killed = await done(jobs, kind="local", command=["sh", "-c", "kill -9 $$"])
    assert killed[0] == Exit(137, "signal")
    with pytest.raises(ProgramNotFound, match="no-such-program"):
        await done(jobs, kind="local", command=["no-such-program"])


async def test_a_program_of_this_machine_that_is_given_up_is_killed(
    jobs: Jobs, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = ["sh", "-c", f"sleep 600 & echo $! > {fifo}; wait"]
    task = asyncio.create_task(done(jobs, kind="local", command=command))
    pid = int(await asyncio.to_thread(fifo.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pid)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet counts as gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX" or wait_gone(pid)


def wait_gone(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


async def test_the_last_10_mib_of_each_stream_are_kept() -> None:
    outputs = Outputs()
    for number in range(180):
        outputs.add(Output("stdout", bytes([number]) * 65536))
    outputs.add(Output("stderr", b"e"))
    assert len(outputs.stdout) == OUTPUT
    assert outputs.stdout[-65536:] == bytes([179]) * 65536
    assert (outputs.stderr, outputs.truncated) == (b"e", True)


async def test_what_others_have_begun_is_skipped_and_not_tried_again() -> None:
    tries = []

    async def do(schedule: Schedule, *, id: str, write: Write) -> Exit:  # noqa: A002
        tries.append(id)
        raise StillRuns("service 'report' has tasks that run still")

    clock = WallClock()
    run = await perform(checked(definition(function="f", retries=3)), RUN, do=do, clock=clock)
    clock.close()
    assert (run.status, run.error, len(tries)) == (
        "skipped", "service 'report' has tasks that run still", 1)  # fmt: skip


async def test_what_cannot_be_run_is_a_failed_run_with_its_reason(jobs: Jobs) -> None:
    clock = WallClock()
    run = await perform(checked(definition(function="none")), RUN, do=jobs, clock=clock)
    clock.close()
    assert (run.status, run.exit_code) == ("failed", None)
    assert "no function 'none'" in str(run.error)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "function: it is missing"),
        ({"kind": "run"}, "image: it is missing"),
        ({"kind": "exec", "container": "c"}, "command: it is missing"),
        ({"kind": "run", "container": "c", "image": "i"}, "container: an image is named too"),
        ({"function": "f", "image": "i"}, "image: kind 'function' has none"),
        ({"kind": "local", "command": ["x"], "user": "me"}, "user: kind 'local' has none"),
        ({"function": "f", "timeout": 0}, "timeout: 0 is out of bounds"),
        ({"function": "f", "jitter": "soon"}, "jitter: 'soon' is no duration"),
        ({"function": "f", "webhook": "ftp://x"}, "webhook: it is no URL"),
        ({"function": "f", "webhook": "http://x:99999/"}, "webhook: it is no URL"),
        ({"function": "f", "env": {"KEY": "s3cret\0"}}, "env.KEY: its value holds a NUL"),
        ({"function": "f", "smtp_host": "m"}, "needs smtp_host, email_to and email_from"),
        ({"function": "f", "save_folder": "x"}, "save_folder: 'x' must be an absolute path"),
        ({"kind": "service-run"}, "image: kind 'service-run' needs either"),
        ({"kind": "service-run", "image": "i", "service": "s"}, "needs either"),
        ({"kind": "service-run", "image": "i", "replicas": 2}, "replicas: an image runs once"),
        ({"kind": "service-run", "service": "s", "user": "u"}, "user: the service says that"),
        ({"function": "f", "service": "s"}, "service: kind 'function' has none"),
        ({"kind": "run", "image": "i", "volumes": ["data:/x"]}, "mounts: 'data' is no path"),
    ],
)
def test_a_definition_that_cannot_be_is_refused_by_its_field(
    fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError) as caught:
        checked(definition(**fields))
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-a", "a\n", "x" * 129, ".hidden"])
def test_a_name_that_could_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name: "):
        checked(Definition(name=name, schedule="@daily", function="f"))


def test_kinds_that_this_server_cannot_run_say_why() -> None:
    local = definition(kind="local", command=["x"])
    with pytest.raises(Unsupported, match="--schedule-local"):
        check_allowed(local, kinds={"function", "run"})
    with pytest.raises(Unsupported, match="Swarm"):
        check_allowed(definition(kind="service-run", image="i"), kinds={"function", "run"})
    with pytest.raises(Unsupported, match="docker engine"):
        check_allowed(definition(kind="run", container="c"), kinds={"function", "run"})
    check_allowed(local, kinds={"local"})


def test_secrets_are_not_shown() -> None:
    given = definition(
        function="f", env={"TOKEN": "s3cret"}, smtp_password="s3cret",
        ping="https://u:s3cret@hc.example/s3cret", webhook="http://x.example/?key=s3cret",
        slack_webhook="https://hooks.slack.com/services/s3cret",
    )  # fmt: skip
    seen = shown(given)
    assert "s3cret" not in repr(seen)
    assert seen.ping == "https://hc.example/…"
    assert seen.env == {"TOKEN": "…"}


REPORTS = Reports(backoff=Backoff(first=0.001, most=0.002))
ENDED = Run(
    number=1, id="a" * 32, name="my job", cause="time", scheduled=1767225600.0,
    status="failed", started=1767225600.5, ended=1767225602.0, exit_code=3,
    error="returned <3>", attempts=1, stdout=b"out", stderr=b"err",
)  # fmt: skip


async def report(run: Run, **fields: Any) -> None:
    await REPORTS(
        checked(Definition(name="my job", schedule="@daily", function="f", **fields)), run
    )


async def test_webhooks_are_told_until_they_take_it() -> None:
    with fake_gateway() as sink:
        sink.replies |= {"POST /hook": (200, "ok"), "POST /slack": (200, "ok")}
        urls = {"webhook": f"{sink.url}/hook", "slack_webhook": f"{sink.url}/slack",
                "ping": f"{sink.url}/ping"}  # fmt: skip
        await report(ENDED, **urls)
        assert sorted(sink.lines) == ["POST /hook", "POST /slack"]
        told = {asked.line: asked.document for asked in sink.asked}
        assert told["POST /slack"] == {
            "text": "Schedule *my job* failed in 1.5 s: returned &lt;3&gt;"}  # fmt: skip
        assert told["POST /hook"] == {
            "schedule": "my job", "id": "a" * 32, "status": "failed", "cause": "time",
            "scheduledAt": "2026-01-01T00:00:00Z", "startedAt": "2026-01-01T00:00:00.500000Z",
            "endedAt": "2026-01-01T00:00:02Z", "durationSeconds": 1.5, "exitCode": 3,
            "error": "returned <3>", "attempts": 1, "stdout": "out", "stderr": "err",
        }  # fmt: skip


async def test_a_sink_that_fails_is_asked_four_times_and_its_address_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with fake_gateway() as sink:
        sink.replies["POST /s3cret"] = (500, "no")
        await report(ENDED, webhook=f"{sink.url}/s3cret")
        assert sink.lines == ["POST /s3cret"] * 4
    await report(ENDED, webhook=f"{sink.url}/s3cret")  # nobody listens any more
    assert len(caplog.records) == 8
    assert "s3cret" not in repr([vars(record) for record in caplog.records])


async def test_only_errors_are_told_where_that_was_asked_for() -> None:
    from dataclasses import replace

    well = replace(ENDED, status="succeeded", error=None, exit_code=0)
    with fake_gateway() as sink:
        sink.replies |= {"POST /hook": (200, "ok"), "GET /ping": (200, "ok")}
        urls = {"webhook": f"{sink.url}/hook", "ping": f"{sink.url}/ping"}
        await report(well, webhook_only_on_error=True, **urls)
        assert sink.lines == ["GET /ping"]
        await report(ENDED, webhook_only_on_error=True, **urls)
        assert sink.lines == ["GET /ping", "POST /hook"]


async def test_mail_is_sent_again_until_the_server_takes_it() -> None:
    async with mail_sink(refusals=2) as sink:
        await report(
            ENDED, smtp_host="127.0.0.1", smtp_port=sink.port, email_from="w@example.org",
            email_to=["a@example.org", "b@example.org"],
        )  # fmt: skip
        (mail,) = sink.mails
        assert mail["Subject"] == "[wherry] my job: failed"
        assert mail["To"] == "a@example.org, b@example.org"
        parts: list[Any] = [part.get_payload(decode=True) for part in mail.walk()][1:]
        assert b"exitCode: 3" in parts[0]
        assert parts[1:3] == [b"out", b"err"]
        assert json.loads(parts[3])["status"] == "failed"


async def test_a_password_is_never_sent_without_tls(caplog: pytest.LogCaptureFixture) -> None:
    async with mail_sink() as sink:
        await report(
            ENDED, smtp_host="127.0.0.1", smtp_port=sink.port, email_from="w@example.org",
            email_to=["a@example.org"], smtp_user="me", smtp_password="s3cret",
        )  # fmt: skip
        assert sink.mails == []
        assert "s3cret" not in repr(sink.lines) + repr([vars(each) for each in caplog.records])


async def test_runs_of_one_second_leave_files_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "for us"
    for _ in range(2):
        await report(ENDED, save_folder=str(folder), env={"TOKEN": "s3cret"})
    names = sorted(path.name for path in folder.iterdir())
    stamp = "20260101_000000_my_job"
    assert names == sorted(
        f"{stamp}{more}.{kind}" for more in ("", "_2")
        for kind in ("json", "stderr.log", "stdout.log")
    )  # fmt: skip
    assert (folder / f"{stamp}_2.stdout.log").read_bytes() == b"out"
    assert json.loads((folder / f"{stamp}.json").read_text())["exitCode"] == 3
    assert all("s3cret" not in path.read_text() for path in folder.iterdir())
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
